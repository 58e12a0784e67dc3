"""One node: brought up on its database, kept running, and stopped so that nothing is lost."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import structlog
from starlette.applications import Starlette

from aerofn.app.background import Background, hinted
from aerofn.app.parts import Given, Parts
from aerofn.app.siblings import Place, Siblings
from aerofn.bridge.guard import Guard
from aerofn.db import doctor, pool
from aerofn.db.logins import Logins
from aerofn.db.migrate import migrate
from aerofn.db.role_pool import RolePool
from aerofn.dispatch import schedule
from aerofn.errors import DatabaseUnavailable
from aerofn.model import Record
from aerofn.observe import Metrics, RecordLines
from aerofn.settings import Settings, function_environment
from aerofn.tracing import Tracing, exporting
from aerofn.web.application import Ports, create
from aerofn.web.probes import Readiness

log = structlog.get_logger(__name__)
_COMPILE_CHECK_S = 2.0
_START_S = 30.0
_TIDY_S = 600.0


class Service:
    """One node. `start()` and `stop()` once each; between them it runs events and can answer HTTP.

    Args:
        env: what functions may be granted; by default the variables `AEROFN_ENV_*`.
        on_record: told of every invocation's record, beside the table and standard output.
        on_failure: called when the node cannot go on.
        place: of the node among the workers of one `aerofn serve`, if there are several.
        tracing: begins spans; by default what the settings and the variables OTEL_* say.

    Raises:
        SettingsError: traces are asked for and cannot be made.
    """

    parts: Parts

    def __init__(
        self,
        settings: Settings,
        *,
        env: dict[str, str] | None = None,
        on_record: Callable[[Record], None] | None = None,
        on_failure: Callable[[], None] = lambda: None,
        tracing: Tracing | None = None,
        place: Place | None = None,
    ) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self._siblings = None if place is None else Siblings(place, self.metrics.exposition)
        self._tracing = exporting() if tracing is None and settings.tracing else tracing
        self._env = function_environment() if env is None else env
        self._on_record = on_record
        self._lines = RecordLines() if settings.records_to_stdout else None
        self._guard = Guard()
        self.hardened = False
        self._background = Background(on_failure)
        self._registry_hint = asyncio.Event()
        self._compile_hint = asyncio.Event()
        self._tick_hint = asyncio.Event()

    async def start(self) -> None:
        """Bring the schema up to date, connect, and begin to run events.

        Raises:
            DatabaseUnavailable, MigrationError, SettingsError: says what to do.
        """
        await self._prepare_database()
        known = await pool.known_logins(self.settings)
        self._pools = pool.open_role_pools(self.settings, known)
        self._service_pool = await pool.open_service_pool(self.settings, known)
        self._dashboard_pool = (
            await pool.open_dashboard_pool(self.settings, known) if self.settings.dashboard else None
        )
        self.parts = self._make_parts(known)
        self._watch_pools()
        try:
            await self._start_background()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Let running invocations end within the grace period, give back the rest, and close."""
        await self.parts.dispatcher.stop(self.settings.shutdown_grace_s)
        await self._background.stop()
        with contextlib.suppress(DatabaseUnavailable):
            await self.parts.invocations.flush()
        await self.parts.runtime.close()
        await self.parts.egress.close()
        await self._guard.close()
        await self.parts.database.close()
        if self.parts.desk is not None:
            await self.parts.desk.glances.close()
        looking = [] if self._dashboard_pool is None else [self._dashboard_pool]
        await pool.close(self._service_pool, *looking, *self._pools.values())
        if self._tracing is not None:
            await asyncio.to_thread(self._tracing.close)
        if self._lines is not None:
            self._lines.close()

    async def readiness(self) -> Readiness:
        """Whether this node can take work, and what it cannot promise."""
        reasons: list[str] = []
        if self.parts.listener.node is None:
            reasons.append("no connection for wakeups: events wait, HTTP invocations still run")
        try:
            async with asyncio.timeout(2):
                await self.parts.functions.refresh()
                self.hardened = await doctor.is_hardened(self.parts.database)
        except (DatabaseUnavailable, TimeoutError):
            reasons.append("the database cannot be reached")
        return Readiness(reasons, [] if self.hardened else [doctor.WEAKER])

    def application(self) -> Starlette:
        """The HTTP surface of this node, which has been started."""
        ports = Ports(
            settings=self.settings,
            requests=self.parts.requests,
            kept=self.parts.kept,
            functions=self.parts.functions,
            secrets=self.parts.secrets,
            triggers=self.parts.triggers,
            webhooks=self.parts.webhooks,
            ready=self.readiness,
            metrics=self._exposition,
            events=self.parts.event_list,
            records=self.parts.records,
            desk=self.parts.desk,
        )
        return create(ports, _nothing_to_do)

    async def _exposition(self) -> tuple[bytes, str]:
        return self.metrics.exposition() if self._siblings is None else await self._siblings.exposition()

    async def _prepare_database(self) -> None:
        connection = await pool.connect(self.settings)
        try:
            if self.settings.migrate:
                report = await migrate(connection, self.settings)
                if report.applied or report.api_refreshed:
                    log.info("schema is up to date", applied=report.applied)
            self.hardened = await doctor.is_hardened(connection)
            if not self.hardened:
                log.warning("the database is not hardened", what=doctor.WEAKER, hint="see `aerofn doctor`")
        finally:
            await connection.close(timeout=5)

    def _make_parts(self, known: Logins) -> Parts:
        return Parts(
            Given(
                settings=self.settings,
                service_pool=self._service_pool,
                dashboard_pool=self._dashboard_pool,
                role_pools=self._pools,
                logins=known,
                guard=self._guard,
                env=self._env,
                record=self._record,
                fetched=self.metrics.fetch,
                delayed=self.metrics.event_delay,
                registry_hint=self._registry_hint.set,
                tracing=self._tracing,
            )
        )

    def _watch_pools(self) -> None:
        for name, role_pool in self._pools.items():
            self.metrics.pool_in_use(name, _in_use(role_pool), self.settings.pool_size)
        self.metrics.pool_in_use("service", _in_use(self._service_pool), self.settings.service_pool_size)
        if self._dashboard_pool is not None:
            self.metrics.pool_in_use(
                "dashboard", _in_use(self._dashboard_pool), self._dashboard_pool.get_max_size()
            )
        records, lines = self.parts.invocations, self._lines
        self.metrics.records_dropped("table", lambda: records.dropped)
        if lines is not None:
            self.metrics.records_dropped("stdout", lambda: lines.dropped)

    async def _start_background(self) -> None:
        start, parts = self._background.start, self.parts
        await parts.secrets.start()
        listening: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        start("listener", parts.listener.run(listening))
        try:
            async with asyncio.timeout(_START_S):
                await listening
        except TimeoutError:
            raise DatabaseUnavailable(
                "the connection for wakeups cannot be made",
                hint="check AEROFN_DIRECT_DATABASE_URL, or DATABASE_URL where that is not set",
            ) from None
        # The guard's process takes a while to start: here, and not in the first invocation's time.
        await self._guard.verdict("SELECT 1")
        start("registry", self._watch_registry())
        start("compiler", self._compile())
        start("dispatcher", parts.dispatcher.run())
        start("schedules", self._tick())
        start("records", parts.invocations.run())
        start("results", parts.results.run())
        start("loop lag", self.metrics.watch_loop())
        if self._siblings is not None:
            start("metrics for the other workers", self._siblings.serve())
        start("event counts", self._count_events())
        start("tidying", self._tidy())

    async def _watch_registry(self) -> None:
        while True:
            await hinted(self._registry_hint, self.settings.poll_s)
            try:
                if await self.parts.functions.refresh():
                    self.metrics.keep(await self.parts.functions.names())
                    self._compile_hint.set()
                    self._tick_hint.set()
                    self.parts.dispatcher.wake()
            except DatabaseUnavailable as error:
                log.warning("functions cannot be looked up", error=error.detail)

    async def _compile(self) -> None:
        while True:
            await hinted(self._compile_hint, _COMPILE_CHECK_S)
            try:
                await self.parts.compiler.run_all()
            except DatabaseUnavailable as error:
                log.warning("nothing can be compiled", error=error.detail)
                self._compile_hint.set()
                await asyncio.sleep(self.settings.poll_s)

    async def _tick(self) -> None:
        pause = 0.0
        while True:
            await hinted(self._tick_hint, pause)
            pause = self.settings.poll_s
            try:
                due = await schedule.tick(self.parts.schedules)
                pause = pause if due is None else min(max(due, 0.0), pause)
            except DatabaseUnavailable as error:
                log.warning("schedules cannot be looked at", error=error.detail)

    async def _tidy(self) -> None:
        while True:
            await self.parts.runtime.tidy()
            try:
                await self.parts.webhooks.forget(self.settings.webhook_memory_hours)
                await self.parts.functions.sweep()
            except DatabaseUnavailable as error:
                log.warning("what is old cannot be removed", error=error.detail)
            await asyncio.sleep(_TIDY_S)

    async def _count_events(self) -> None:
        while True:
            with contextlib.suppress(DatabaseUnavailable):
                waiting = await self.parts.figures.waiting()
                for state in ("pending", "running", "dead"):
                    self.metrics.events(state, getattr(waiting, state))
            await asyncio.sleep(15)

    def _record(self, record: Record) -> None:
        self.parts.invocations.add(record)
        self.metrics.invocation(record)
        if self._lines is not None:
            self._lines.write(record)
        if self._on_record is not None:
            self._on_record(record)


@contextlib.asynccontextmanager
async def _nothing_to_do(_app: Starlette) -> AsyncIterator[None]:
    """The node is started before and stopped after the HTTP server, so that failures have a plain message."""
    yield


def _in_use(connections: pool.Pool | RolePool) -> Callable[[], float]:
    return lambda: connections.get_size() - connections.get_idle_size()
