"""Fixtures of the web tests."""

from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from web_kit import Web


@pytest.fixture
def web() -> Web:
    return Web()


@pytest_asyncio.fixture
async def client(web: Web) -> AsyncIterator[httpx.AsyncClient]:
    async with web.client() as client:
        yield client
