"""Fixtures of the tests of outgoing HTTP."""

import pytest
import pytest_asyncio

from aerofn.bridge.egress.addresses import Addresses
from aerofn.bridge.egress.egress import Caps, Egress

from .asking import Out
from .far_side import far_side


@pytest_asyncio.fixture
async def far():
    async with far_side() as far:
        yield far


@pytest_asyncio.fixture
async def egress():
    """Allowed to reach this machine, as an operator would have to say."""
    egress = Egress(Addresses(["127.0.0.0/8", "::1/128"]), Caps(bytes=1 << 20, seconds=10))
    yield egress
    await egress.close()


@pytest.fixture
def out(egress, far):
    return Out(egress, far)
