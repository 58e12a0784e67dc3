"""A node and its HTTP server in this process, for the demo and `aerofn dev`."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

import uvicorn

from aerofn.app import Service, http_server
from aerofn.errors import AeroFnError
from aerofn.model import Record
from aerofn.settings import Settings

_START_S = 60.0


class Live(NamedTuple):
    """The running service, and where its HTTP server listens."""

    service: Service
    url: str


@contextlib.asynccontextmanager
async def live(
    settings: Settings,
    *,
    env: dict[str, str] | None,
    on_record: Callable[[Record], None],
    on_failure: Callable[[], None],
) -> AsyncIterator[Live]:
    """Run a node for the block; see `Service` for the arguments.

    Raises:
        AeroFnError: it could not start; says what to do.
    """
    service = Service(settings, env=env, on_record=on_record, on_failure=on_failure)
    await service.start()
    try:
        ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        server = http_server(service, ready.set_result)
        serving = asyncio.create_task(_serve(server))
        try:
            await asyncio.wait((ready, serving), timeout=_START_S, return_when=asyncio.FIRST_COMPLETED)
            if not ready.done():
                raise AeroFnError(
                    f"the HTTP server does not listen on {settings.host}, port {settings.port}",
                    hint="its log line above says why; --port chooses another one, 0 a free one",
                )
            yield Live(service, ready.result())
        finally:
            server.should_exit = True
            await serving
    finally:
        await service.stop()


async def _serve(server: uvicorn.Server) -> None:
    with contextlib.suppress(SystemExit):  # where it cannot listen, uvicorn would end the process
        await server.serve()
