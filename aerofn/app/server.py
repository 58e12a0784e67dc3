"""A node with its HTTP server: started, serving until it is told to stop, stopped in order."""

import asyncio
import contextlib
import gc
import resource
import socket
from collections.abc import Awaitable, Callable, Iterator

import uvicorn

from aerofn.app.service import Service
from aerofn.app.siblings import Place
from aerofn.app.signals import signals
from aerofn.errors import SettingsError
from aerofn.settings import Settings
from aerofn.web.connection import Connection, connections
from aerofn.web.crowd import Crowd

_OTHER_FILES = 1024
_YOUNG_OBJECTS = 5000


def listen(settings: Settings) -> socket.socket:
    """A socket on the settings' address.

    Raises:
        SettingsError: it cannot be had.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=2048)
    except OSError as error:
        raise SettingsError(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror or error}",
            hint="choose another with --host and --port, or AEROFN_HOST and AEROFN_PORT",
        ) from None


async def serve(
    settings: Settings,
    listening: socket.socket,
    on_ready: Callable[[str], None] = lambda _url: None,
    until: Awaitable[None] | None = None,
    place: Place | None = None,
) -> int:
    """Run a node with its HTTP server until SIGTERM or SIGINT; answers the exit code.

    Args:
        listening: the socket requests come in on.
        on_ready: told the URL once requests are accepted.
        until: something else whose end stops the node in order.
        place: among several workers.

    Raises:
        AeroFnError: it could not start; says what to do.
    """
    _allow_connections(settings.max_connections)
    broken = asyncio.Event()
    service = Service(settings, on_failure=broken.set, place=place)
    await service.start()
    _spare_the_collector()
    try:
        server = http_server(service, on_ready)
        with signals(lambda number: server.handle_exit(number, None)):
            serving = asyncio.create_task(server.serve([listening]))
            ends = [serving, asyncio.create_task(broken.wait())]
            if until is not None:
                ends.append(asyncio.ensure_future(until))
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            server.should_exit = True
            await serving
    finally:
        await service.stop()
    return 1 if broken.is_set() else 0


def _spare_the_collector() -> None:
    # What is there now stays: to look it through took the garbage collector tens of milliseconds each time.
    gc.collect()
    gc.freeze()
    # Requests leave no cycles. Those under way, and their records, are more than it lets there be by default: it looked
    # them through every 35 requests, which was a twentieth of what Python does for one.
    gc.set_threshold(_YOUNG_OBJECTS)


def _allow_connections(number: int) -> None:
    """Have as many open files as connections, and some more, as far as the system lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = number + _OTHER_FILES
    if soft < wanted and soft != resource.RLIM_INFINITY:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


class _Server(uvicorn.Server):
    """Tells when it accepts requests, and leaves signals alone.

    uvicorn's own way raises a signal again once HTTP has stopped, which would end the process before the
    node has given back its events.
    """

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[str], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: once a second is enough to look for clients that are too slow."""
        if counter % 10 == 0:
            now = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                if isinstance(connection, Connection):
                    connection.check(now)
        return await super().on_tick(counter)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_ready(url_of(self))


def http_server(service: Service, on_ready: Callable[[str], None] = lambda _url: None) -> uvicorn.Server:
    """uvicorn over the node's application, with its limits."""
    settings = service.settings
    return _Server(
        uvicorn.Config(
            service.application(),
            host=settings.host,
            port=settings.port,
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=True,
            http=connections(
                settings.max_connections,
                settings.client_timeout_s,
                Crowd(settings.max_connections_per_address, settings.trusted_proxies),
            ),
            ws="none",
            proxy_headers=bool(settings.trusted_proxies),
            forwarded_allow_ips=list(settings.trusted_proxies),
            timeout_keep_alive=75,
            timeout_graceful_shutdown=max(1, int(settings.shutdown_grace_s)),
        ),
        on_ready,
    )


def url_of(server: uvicorn.Server) -> str:
    """Where a started server listens; its real port when a free one was asked for."""
    host, port = server.servers[0].sockets[0].getsockname()[:2]
    return f"http://{host}:{port}"
