"""The composition root: builds one node from its settings, starts it, serves HTTP, and stops it in order."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

import structlog
import uvicorn
from starlette.applications import Starlette

from aerofn.bridge.guard import Guard
from aerofn.bridge.host import Bridge
from aerofn.bridge.session import Caps, Door
from aerofn.db import doctor, logins, pool
from aerofn.db.database import Database
from aerofn.db.events import Events
from aerofn.db.functions import Functions
from aerofn.db.invocations import Invocations
from aerofn.db.listener import Listener
from aerofn.db.migrate import migrate
from aerofn.db.role_pool import RolePool
from aerofn.dispatch.admission import Admission
from aerofn.dispatch.compiler import Compiler
from aerofn.dispatch.completions import Completions
from aerofn.dispatch.dispatcher import Dispatcher, Pace
from aerofn.dispatch.invoker import Invoker
from aerofn.dispatch.requests import Requests
from aerofn.errors import DatabaseUnavailable
from aerofn.model import Limits, Record
from aerofn.observe import Metrics, RecordLines
from aerofn.runtime import Runtime, RuntimeConfig
from aerofn.settings import Settings, function_environment
from aerofn.web.application import Ports, create

log = structlog.get_logger(__name__)
_COMPILE_CHECK_S = 2.0
_START_S = 30.0


class Service:
    """One node. `start()` and `stop()` once each; between them it runs events and can answer HTTP.

    Args:
        env: what functions may be granted; by default the variables `AEROFN_ENV_*`.
        on_record: told of every invocation's record, beside the table and standard output.
        on_failure: called when the node cannot go on.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        env: dict[str, str] | None = None,
        on_record: Callable[[Record], None] | None = None,
        on_failure: Callable[[], None] = lambda: None,
    ) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self._env = function_environment() if env is None else env
        self._on_record = on_record
        self._on_failure = on_failure
        self._lines = RecordLines() if settings.records_to_stdout else None
        self._guard = Guard()
        self.hardened = False
        self._tasks: list[asyncio.Task[None]] = []
        self._registry_hint = asyncio.Event()
        self._compile_hint = asyncio.Event()

    async def start(self) -> None:
        """Bring the schema up to date, connect, and begin to run events.

        Raises:
            DatabaseUnavailable, MigrationError: says what to do.
        """
        found = await self._prepare_database()
        self._pools = await pool.open_role_pools(self.settings, found)
        self._service_pool = await pool.open_service_pool(self.settings, found[logins.SERVICE])
        self._compose(found[logins.SERVICE])
        try:
            await self._run_tasks()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Let running invocations end within the grace period, give back the rest, and close."""
        await self.dispatcher.stop(self.settings.shutdown_grace_s)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(DatabaseUnavailable):
            await self._invocations.flush()
        await self.runtime.close()
        await self._guard.close()
        await pool.close(self._service_pool, *self._pools.values())
        if self._lines is not None:
            self._lines.close()

    async def readiness(self) -> list[str]:
        """Why this node is not ready; empty when it is."""
        reasons = []
        if self.listener.node is None:
            reasons.append("no connection for wakeups: events wait, HTTP invocations still run")
        try:
            async with asyncio.timeout(2):
                await self.functions.refresh()
        except (DatabaseUnavailable, TimeoutError):
            reasons.append("the database cannot be reached")
        return reasons

    def application(self) -> Starlette:
        """The HTTP surface of this node, which has been started."""
        ports = Ports(
            settings=self.settings,
            requests=self.requests,
            functions=self.functions,
            ready=self.readiness,
            metrics=self.metrics.exposition,
        )
        return create(ports, _nothing_to_do)

    async def _prepare_database(self) -> dict[str, logins.Login]:
        connection = await pool.connect(self.settings)
        try:
            if self.settings.migrate:
                report = await migrate(connection, self.settings)
                if report.applied or report.api_refreshed:
                    log.info("schema is up to date", applied=report.applied)
            self.hardened = await doctor.is_hardened(connection)
            if not self.hardened:
                log.warning("the database is not hardened", what=doctor.WEAKER, hint="see `aerofn doctor`")
            return await logins.read(connection)
        finally:
            await connection.close(timeout=5)

    def _compose(self, service_login: logins.Login) -> None:
        settings, database = self.settings, Database(self._service_pool)
        self.runtime = Runtime(_runtime_config(settings))
        self.functions = Functions(database, Limits(settings.timeout_ms, settings.memory_mb))
        self.events = Events(database)
        self._invocations = Invocations(database, settings.retention_hours)
        caps = Caps(
            statements=settings.max_statements,
            rows=settings.max_rows,
            bytes=settings.max_result_mb << 20,
            wait_s=settings.pool_timeout_s,
        )
        raw = settings.set_request_jwt_claims
        doors = {
            role: Door(role, self._pools[role], self._guard, caps, postgrest_claims=raw)
            for role in settings.roles
        }
        bridge = Bridge(doors, self._env, settings.max_log_lines)
        completions = Completions(self.events)
        self.invoker = Invoker(self.runtime, self.functions, bridge, completions.complete, self._record)
        admission = Admission(settings.max_invocations, settings.max_waiting)
        self.requests = Requests(self.functions, self.invoker, admission)
        self.dispatcher = Dispatcher(
            self.events, self.functions, self.invoker, lambda: self.listener.node, _pace(settings)
        )
        self.listener = Listener(settings, service_login, self.dispatcher.wake, self._registry_hint.set)
        self.compiler = Compiler(self.runtime, self.functions, lambda: self.listener.node)
        for name, role_pool in self._pools.items():
            self.metrics.pool_in_use(name, _in_use(role_pool))
        self.metrics.pool_in_use("service", _in_use(self._service_pool))

    async def _run_tasks(self) -> None:
        listening = asyncio.Event()
        self._background("listener", self.listener.run(listening))
        try:
            async with asyncio.timeout(_START_S):
                await listening.wait()
        except TimeoutError:
            raise DatabaseUnavailable(
                "the connection for wakeups cannot be made",
                hint="check AEROFN_DIRECT_DATABASE_URL: it must reach PostgreSQL itself, not a pooler",
            ) from None
        # The guard's process takes a while to start: here, and not in the first invocation's time.
        await self._guard.verdict("SELECT 1")
        self._background("registry", self._watch_registry())
        self._background("compiler", self._compile())
        self._background("dispatcher", self.dispatcher.run())
        self._background("records", self._invocations.run())
        self._background("loop lag", self.metrics.watch_loop())
        self._background("event counts", self._count_events())

    def _background(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name=f"aerofn {name}")
        task.add_done_callback(self._task_ended)
        self._tasks.append(task)

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the node cannot go on", task=task.get_name(), exc_info=error)
            self._on_failure()

    async def _watch_registry(self) -> None:
        while True:
            await _hinted(self._registry_hint, self.settings.poll_s)
            try:
                if await self.functions.refresh():
                    self._compile_hint.set()
                    self.dispatcher.wake()
            except DatabaseUnavailable as error:
                log.warning("functions cannot be looked up", error=error.detail)

    async def _compile(self) -> None:
        while True:
            await _hinted(self._compile_hint, _COMPILE_CHECK_S)
            try:
                await self.compiler.run_all()
            except DatabaseUnavailable as error:
                log.warning("nothing can be compiled", error=error.detail)
                self._compile_hint.set()
                await asyncio.sleep(self.settings.poll_s)

    async def _count_events(self) -> None:
        while True:
            with contextlib.suppress(DatabaseUnavailable):
                for state, number in (await self.events.waiting())._asdict().items():
                    self.metrics.events(state, number)
            await asyncio.sleep(15)

    def _record(self, record: Record) -> None:
        self._invocations.add(record)
        self.metrics.invocation(record)
        if self._lines is not None:
            self._lines.write(record)
        if self._on_record is not None:
            self._on_record(record)


async def serve(settings: Settings, on_ready: Callable[[str], None] = lambda _url: None) -> int:
    """Run a node with its HTTP server until SIGTERM or SIGINT; answers the exit code.

    Args:
        on_ready: told the URL once requests are accepted.

    Raises:
        AeroFnError: it could not start; says what to do.
    """
    broken = asyncio.Event()
    service = Service(settings, on_failure=broken.set)
    await service.start()
    try:
        server = http_server(service, on_ready)
        with _signals(lambda number: server.handle_exit(number, None)):
            serving = asyncio.create_task(server.serve())
            watching = asyncio.create_task(broken.wait())
            await asyncio.wait((serving, watching), return_when=asyncio.FIRST_COMPLETED)
            server.should_exit = True
            await serving
    finally:
        await service.stop()
    return 1 if broken.is_set() else 0


@contextlib.contextmanager
def _signals(told: Callable[[signal.Signals], None]) -> Iterator[None]:
    """Meanwhile SIGTERM and SIGINT are for `told`."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told, number)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


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
            timeout_keep_alive=75,
            timeout_graceful_shutdown=max(1, int(settings.shutdown_grace_s)),
        ),
        on_ready,
    )


def url_of(server: uvicorn.Server) -> str:
    """Where a started server listens; its real port when a free one was asked for."""
    host, port = server.servers[0].sockets[0].getsockname()[:2]
    return f"http://{host}:{port}"


@contextlib.asynccontextmanager
async def _nothing_to_do(_app: Starlette) -> AsyncIterator[None]:
    """The node is started before and stopped after the HTTP server, so that failures have a plain message."""
    yield


def _runtime_config(settings: Settings) -> RuntimeConfig:
    return RuntimeConfig(
        cache_dir=settings.cache_dir,
        slice_ms=settings.slice_ms,
        worker_threads=settings.worker_threads,
        max_output_bytes=settings.max_output_mb << 20,
        max_component_bytes=settings.max_component_mb << 20,
        max_instances=settings.max_invocations + settings.event_concurrency,
    )


def _pace(settings: Settings) -> Pace:
    return Pace(
        concurrency=settings.event_concurrency,
        poll_s=settings.poll_s,
        lease_s=settings.lease_s + settings.timeout_ms / 1000,
        max_depth=settings.max_depth,
    )


def _in_use(connections: pool.Pool | RolePool) -> Callable[[], float]:
    return lambda: connections.get_size() - connections.get_idle_size()


async def _hinted(hint: asyncio.Event, seconds: float) -> None:
    """Wait for the hint, or for `seconds`; clears it."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await hint.wait()
    hint.clear()
