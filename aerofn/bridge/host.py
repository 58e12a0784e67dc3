"""What one invocation may reach, behind the four host calls of `wit/aerofn.wit`."""

import time
from collections.abc import Mapping

import msgspec

from aerofn.bridge.session import Door, Reply, Session
from aerofn.db.events import Lease
from aerofn.db.results import Kept
from aerofn.errors import AeroFnError, HostError
from aerofn.model import Caller, LogLine, Version

_LONGEST_LINE = 16_384
_LEVELS = frozenset({"debug", "info", "warn", "error"})
_json = msgspec.json.Encoder()


class InvocationHost:
    """One invocation's host: its transaction, its log and its granted environment keys.

    `failure` is AeroFn's own error, if a host call ended the run by one.
    """

    def __init__(self, session: Session, env: Mapping[str, str], max_lines: int) -> None:
        self._session = session
        self._env = env
        self._max_lines = max_lines
        self._started = time.perf_counter()
        self.logs: list[LogLine] = []
        self.failure: AeroFnError | None = None

    @property
    def queries(self) -> int:
        """How many statements the function has sent."""
        return self._session.queries

    @property
    def wrote(self) -> bool:
        """Whether there is a transaction to commit."""
        return self._session.open

    async def db_query(self, sql: str, params: str) -> Reply:
        """Run a statement as the caller; see `Session.query`."""
        try:
            return await self._session.query(sql, params)
        except AeroFnError as error:
            self.failure = error
            raise

    async def http_fetch(self, request: str) -> Reply:
        """Refuse: no host is granted to any function by this version of AeroFn."""
        return False, _json.encode(
            {"code": "egress_denied", "message": "this function may not reach any host"}
        )

    def log(self, level: str, message: str) -> None:
        """Keep a line; past the cap one line says that there were more."""
        if len(self.logs) > self._max_lines:
            return
        if len(self.logs) == self._max_lines:
            level, message = "warn", f"more than {self._max_lines} lines: the rest is not kept"
        level = level if level in _LEVELS else "info"
        at_ms = round((time.perf_counter() - self._started) * 1000, 3)
        self.logs.append(LogLine(level, message[:_LONGEST_LINE], at_ms))

    def env(self, key: str) -> str | None:
        """A granted key's value."""
        return self._env.get(key)

    async def commit(self, lease: Lease | None, kept: Kept | None) -> None:
        """Make the effects last; see `Session.commit`."""
        await self._session.commit(lease, kept)

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
    """

    def __init__(self, doors: Mapping[str, Door], env: Mapping[str, str], max_lines: int) -> None:
        self._doors = doors
        self._env = env
        self._max_lines = max_lines

    def host(self, version: Version, caller: Caller, depth: int = 0) -> InvocationHost:
        """The host of one invocation of `version`.

        Raises:
            HostError: the caller's role is not exposed on this node.
        """
        door = self._doors.get(caller.role)
        if door is None:
            raise HostError(
                f"role {caller.role!r} is not exposed on this node", hint="add it to AEROFN_ROLES and restart"
            )
        granted = {key: self._env[key] for key in version.env_keys if key in self._env}
        return InvocationHost(Session(door, caller, version.function, depth), granted, self._max_lines)
