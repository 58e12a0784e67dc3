"""What one invocation may reach, behind the four host calls of `wit/aerofn.wit`."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import NamedTuple

import msgspec

from aerofn.bridge.door import Door
from aerofn.bridge.egress.egress import Egress
from aerofn.bridge.egress.grants import Grants
from aerofn.bridge.journal import Journal
from aerofn.bridge.outgoing import Outgoing
from aerofn.bridge.redaction import Redactor
from aerofn.bridge.session import Reply, Session
from aerofn.bridge.shared import SharedSession
from aerofn.bridge.traced import TracedSession
from aerofn.db.events import Lease
from aerofn.db.results import Kept
from aerofn.db.secrets import Secrets
from aerofn.errors import AeroFnError, HostError
from aerofn.model import Caller, LogLine, Run, Version
from aerofn.tracing import Trace


class Most(NamedTuple):
    """What one invocation may make: log lines and HTTP requests."""

    lines: int
    fetches: int


class Granted(NamedTuple):
    """What a version reads of the environment; `redactor` knows which of it is secret, if any is."""

    env: Mapping[str, str]
    redactor: Redactor | None = None


_NOTHING = Granted({})
_grants = lru_cache(1024)(Grants)


class InvocationHost:
    """One invocation's host: its transaction, its HTTP requests, its log and its granted environment keys.

    `failure` is AeroFn's own error, if a host call ended the run by one. `secured` is awaited before the first
    statement: what it does to the database must not come before its lease is on the disk, attempt counted.
    """

    def __init__(
        self, session: Session, way_out: Callable[[], Outgoing], granted: Granted, max_lines: int
    ) -> None:
        self._session = session
        self._way_out = way_out
        self._outgoing: Outgoing | None = None  # before the first request
        self._granted = granted
        self._journal = Journal(max_lines, granted.redactor)
        self.failure: AeroFnError | None = None
        self.secured: Callable[[], Awaitable[None]] | None = None

    @property
    def logs(self) -> list[LogLine]:
        """The lines the function logged, without its secrets."""
        return self._journal.lines

    @property
    def queries(self) -> int:
        """How many statements the function has sent."""
        return self._session.queries

    @property
    def in_transaction(self) -> bool:
        """Whether it holds a connection to the database."""
        return self._session.open

    @property
    def wrote(self) -> bool:
        """Whether there is something to commit: a transaction, or requests to be sent after it."""
        return self._session.open or (self._outgoing is not None and bool(self._outgoing.kept))

    async def db_query(self, sql: str, params: str) -> Reply:
        """Run a statement as the caller; see `Session.query`."""
        try:
            if self.secured is not None:
                await self.secured()
            return await self._session.query(sql, params)
        except AeroFnError as error:
            self.failure = error
            raise

    async def http_fetch(self, request: str) -> Reply:
        """Send one HTTP request or several; see `Outgoing.ask`."""
        self._before_wait()
        if self._outgoing is None:
            self._outgoing = self._way_out()
        return await self._outgoing.ask(request)

    async def wait(self, seconds: float) -> None:
        """Let so much time pass."""
        self._before_wait()
        await asyncio.sleep(seconds)

    def _before_wait(self) -> None:
        try:
            self._session.before_wait()
        except AeroFnError as error:
            self.failure = error
            raise

    def log(self, level: str, message: str, at: float) -> None:
        """Keep a line; see `Journal.add`."""
        self._journal.add(level, message, at)

    def env(self, key: str) -> str | None:
        """A granted key's value."""
        return self._granted.env.get(key)

    def redacted(self, run: Run) -> Run:
        """The run without the function's secrets in its error; its output is the function's own business."""
        redactor, error = self._granted.redactor, run.error
        if redactor is None or error is None:
            return run
        name, message, stack = (
            text and redactor.error(text) for text in (error.name, error.message, error.stack)
        )
        error = msgspec.structs.replace(error, message=message or "", name=name, stack=stack)
        return msgspec.structs.replace(run, error=error)

    def leave(self) -> bool:
        """Settle an invocation that only read, without waiting; False: it needs `commit`."""
        return not (self._outgoing is not None and self._outgoing.kept) and self._session.leave()

    async def commit(self, leases: Sequence[Lease], kept: Kept | None) -> None:
        """Make the effects last; see `Session.commit`."""
        deferred = None if self._outgoing is None else self._outgoing.deferred()
        await self._session.commit(leases, kept, deferred)

    async def rollback(self) -> None:
        """Undo the effects."""
        await self._session.rollback()

    def abandon(self) -> None:
        """Undo the effects at once, whatever the connection is doing."""
        self._session.abandon()


class Bridge:
    """Makes the hosts of invocations.

    Args:
        doors: the way into the database, by role.
        env: every key that may be granted; a function sees those of its version only.
        secrets: in front of `env` where both have a key.
        egress: the way out.
        fetched: told of each request's function and end; see `Outgoing`.
    """

    def __init__(
        self,
        doors: Mapping[str, Door],
        env: Mapping[str, str],
        secrets: Secrets,
        egress: Egress,
        most: Most,
        *,
        fetched: Callable[[str, str], None],
    ) -> None:
        self._doors = doors
        self._env = env
        self._secrets = secrets
        self._egress = egress
        self._most = most
        self._fetched = fetched
        self._kept: dict[frozenset[str], tuple[Mapping[str, str], Granted]] = {}

    async def host(
        self, version: Version, caller: Caller, depth: int = 0, trace: Trace | None = None
    ) -> InvocationHost:
        """The host of one invocation of `version`.

        Raises:
            HostError: the caller's role is not exposed on this node, or a secret cannot be opened here.
            DatabaseUnavailable: its secrets cannot be read.
        """
        given = (self._door(caller), caller, version.function, depth)
        session = Session(*given) if trace is None else TracedSession(*given, trace.parent)
        granted = await self._grants(version.env_keys) if version.env_keys else _NOTHING
        return self._host(version, session, granted, trace)

    def shared(self, version: Version, caller: Caller, depth: int) -> SharedSession:
        """A transaction for several invocations of `version` by `caller`, one after another.

        Raises:
            HostError: the caller's role is not exposed on this node.
        """
        return SharedSession(self._door(caller), caller, version.function, depth)

    async def member(
        self, version: Version, shared: SharedSession, trace: Trace | None = None
    ) -> InvocationHost:
        """The host of the shared transaction's next invocation; raises as `host`."""
        granted = await self._grants(version.env_keys) if version.env_keys else _NOTHING
        host = self._host(version, shared, granted, trace)
        shared.turn(None if trace is None else trace.parent)
        return host

    def _door(self, caller: Caller) -> Door:
        door = self._doors.get(caller.role)
        if door is None:
            raise HostError(
                f"role {caller.role!r} is not exposed on this node", hint="add it to AEROFN_ROLES and restart"
            )
        return door

    def _host(
        self, version: Version, session: Session, granted: Granted, trace: Trace | None
    ) -> InvocationHost:
        way_out = partial(self._outgoing, version, granted, trace)
        return InvocationHost(session, way_out, granted, self._most.lines)

    def _outgoing(self, version: Version, granted: Granted, trace: Trace | None) -> Outgoing:
        return Outgoing(
            self._egress,
            version.function_id,
            _grants(version.hosts),
            self._most.fetches,
            count=partial(self._fetched, version.function),
            seal=None if granted.redactor is None else self._secrets.encrypted,
            trace=trace,
        )

    async def _grants(self, keys: frozenset[str]) -> Granted:
        values = await self._secrets.values(keys)
        kept = self._kept.get(keys)
        if kept is None or kept[0] is not values:
            env = {key: self._env[key] for key in keys if key in self._env}
            kept = values, Granted({**env, **values}, Redactor(values) if values else None)
            self._kept[keys] = kept
        return kept[1]
