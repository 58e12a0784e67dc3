"""What a node is made of, and how the parts are given to each other."""

from collections.abc import Callable
from dataclasses import dataclass

from aerofn.bridge.deliveries import Deliveries
from aerofn.bridge.door import Caps, Door
from aerofn.bridge.egress.addresses import Addresses
from aerofn.bridge.egress.egress import Caps as EgressCaps
from aerofn.bridge.egress.egress import Egress
from aerofn.bridge.guard import Guard
from aerofn.bridge.host import Bridge, Most
from aerofn.bridge.outgoing import longest
from aerofn.db.database import Database
from aerofn.db.event_list import EventList
from aerofn.db.events import Events
from aerofn.db.figures import Figures
from aerofn.db.functions import Functions
from aerofn.db.invocations import Invocations
from aerofn.db.listener import Listener
from aerofn.db.logins import Logins
from aerofn.db.pool import Pool
from aerofn.db.records import Records
from aerofn.db.results import Results
from aerofn.db.role_pool import RolePool
from aerofn.db.schedules import Schedules
from aerofn.db.secrets import Secrets
from aerofn.db.triggers import Triggers
from aerofn.db.webhooks import Webhooks
from aerofn.dispatch.admission import Admission
from aerofn.dispatch.compiler import Compiler
from aerofn.dispatch.completions import Completions
from aerofn.dispatch.dispatcher import Dispatcher, Pace
from aerofn.dispatch.invoker import Invoker
from aerofn.dispatch.kept import KeptRequests
from aerofn.dispatch.requests import Requests
from aerofn.dispatch.sender import Sender
from aerofn.dispatch.wakeups import Wakeups
from aerofn.model import Limits, Record
from aerofn.runtime import Runtime, RuntimeConfig
from aerofn.settings import Settings
from aerofn.tracing import Tracing
from aerofn.web.dashboard.desk import Desk


@dataclass(frozen=True)
class Given:
    """What must be there before the parts are made.

    Args:
        env: what functions may be granted of the environment.
        record: told of every invocation's record.
        fetched: told of every HTTP request's function and end.
        delayed: told of every event's function and how many seconds late it began.
        dashboard_pool: None where there is no dashboard.
        registry_hint: called when the registry may have changed.
        tracing: begins the spans of invocations, if they are traced.
    """

    settings: Settings
    service_pool: Pool
    dashboard_pool: Pool | None
    role_pools: dict[str, RolePool]
    logins: Logins
    guard: Guard
    env: dict[str, str]
    record: Callable[[Record], None]
    fetched: Callable[[str, str], None]
    delayed: Callable[[str, float], None]
    registry_hint: Callable[[], None]
    tracing: Tracing | None = None


class Parts:
    """The parts of one node, none of them running yet."""

    def __init__(self, given: Given) -> None:
        settings, database = given.settings, Database(given.service_pool)
        self.database = database
        self.runtime = Runtime(_runtime_config(settings))
        self.functions = Functions(database, _limits(settings))
        self.secrets = Secrets(database, settings.secret_keys, lambda: self.functions.revision)
        self.events = Events(database)
        self.event_list = EventList(database)
        self.schedules = Schedules(database)
        self.triggers = Triggers(database)
        self.webhooks = Webhooks(database, lambda: self.functions.revision)
        self.records = Records(database)
        self.figures = Figures(database)
        self.invocations = Invocations(database, settings.retention_hours)
        self.results = Results(database, settings.result_hours * 3600.0)
        self.egress = Egress(Addresses(settings.egress_allow), _egress_caps(settings))
        complete = Completions(self.events).complete
        self.invoker = Invoker(
            self.runtime,
            self.functions,
            _bridge(given, self.secrets, self.egress),
            complete=complete,
            keep=self.results.keep,
            record=given.record,
            delayed=given.delayed,
            tracing=given.tracing,
        )
        self.desk = None if given.dashboard_pool is None else _desk(Database(given.dashboard_pool), settings)
        admission = Admission(settings.max_invocations, settings.max_per_function, settings.max_waiting)
        self.requests = Requests(self.functions, self.invoker, admission, settings.rate_limit)
        self.kept = KeptRequests(self.requests, self.results, self._node)
        sender = Sender(Deliveries(self.egress, self.secrets), complete, given.record, given.tracing)
        self.listener = Listener(settings, given.logins, self._wakeup, given.registry_hint)
        self._wakeups = Wakeups(self.listener)
        self.dispatcher = Dispatcher(
            self.events, self.functions, self.invoker, self._node, _pace(settings),
            wakeups=self._wakeups, sender=sender,
        )  # fmt: skip
        self.compiler = Compiler(self.runtime, self.functions, self._node)

    def _node(self) -> int | None:
        return self.listener.node

    def _wakeup(self) -> None:
        self._wakeups.heard()
        self.dispatcher.wake()


def _bridge(given: Given, secrets: Secrets, egress: Egress) -> Bridge:
    settings = given.settings
    caps = Caps(
        statements=settings.max_statements,
        rows=settings.max_rows,
        bytes=settings.max_result_mb << 20,
        wait_s=settings.pool_timeout_s,
    )
    doors = {
        role: Door(role, pool, given.guard, caps, postgrest_claims=settings.set_request_jwt_claims)
        for role, pool in given.role_pools.items()
    }
    most = Most(settings.max_log_lines, settings.max_fetches)
    return Bridge(doors, given.env, secrets, egress, most, fetched=given.fetched)


def _desk(database: Database, settings: Settings) -> Desk:
    return Desk(
        Functions(database, _limits(settings)),
        Triggers(database),
        EventList(database),
        Records(database),
        Figures(database),
    )


def _limits(settings: Settings) -> Limits:
    return Limits(settings.timeout_ms, settings.memory_mb)


def _egress_caps(settings: Settings) -> EgressCaps:
    return EgressCaps(
        bytes=settings.fetch_max_mb << 20,
        seconds=settings.fetch_timeout_s,
        per_function=settings.fetch_connections_per_function,
        per_node=settings.fetch_connections,
    )


def _runtime_config(settings: Settings) -> RuntimeConfig:
    return RuntimeConfig(
        cache_dir=settings.cache_dir,
        cache_bytes=settings.cache_mb << 20,
        slice_ms=settings.slice_ms,
        worker_threads=settings.worker_threads,
        max_output_bytes=settings.max_output_mb << 20,
        max_request_bytes=longest(settings.fetch_max_mb << 20),
        max_component_bytes=settings.max_component_mb << 20,
        max_instances=settings.max_invocations + settings.event_concurrency,
    )


def _pace(settings: Settings) -> Pace:
    return Pace(
        concurrency=settings.event_concurrency,
        poll_s=settings.poll_s,
        lease_s=settings.lease_s + settings.timeout_ms / 1000,
        max_depth=settings.max_depth,
        share=settings.events_per_transaction,
    )
