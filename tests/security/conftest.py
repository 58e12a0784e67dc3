"""One arena for hardened and one for not, for the whole session."""

import shutil

import pytest
import pytest_asyncio

from aerofn.build import build
from tests.conftest import compiled

from .arena import HERE, Arena


@pytest.fixture(scope="session")
def guest(tmp_path_factory) -> bytes:
    """The component of guest.js."""
    if shutil.which("node") is None:
        pytest.skip("building JavaScript needs Node")
    output = tmp_path_factory.mktemp("guest") / "guest.wasm"
    build(HERE / "guest.js", output)
    return output.read_bytes()


@pytest_asyncio.fixture(scope="session", params=["hardened", "not hardened"])
async def arena(request, server, guest):
    name = await server.create()
    place = Arena(server.database(name), guest, compiled(), hardened=request.param == "hardened")
    try:
        await place.start()
        yield place
        await place.stop()
    finally:
        await place.database.close()
        await server.drop(name)
