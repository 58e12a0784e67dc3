"""A role's way into the database: its pool, what is known of its statements, and the bounds of an invocation."""

from collections.abc import Sequence
from functools import partial

import msgspec

from aerofn import sql
from aerofn.bridge.codec import Parameter
from aerofn.bridge.guard import Guard
from aerofn.bridge.quoting import literal, quoted
from aerofn.db.events import Lease
from aerofn.db.results import Kept
from aerofn.db.role_pool import RolePool

_Q = sql.queries("session")
_REMEMBERED_TYPES = 8192


class Types(msgspec.Struct, frozen=True):
    """The executor's answer to what a statement's parameters are; `lasting`: it may be remembered."""

    parameters: list[Parameter]
    lasting: bool = True


types_of = msgspec.json.Decoder(Types).decode


class Caps(msgspec.Struct, frozen=True):
    """What one invocation may ask of the database. `wait_s`: for a connection."""

    statements: int = 1000
    rows: int = 100_000
    bytes: int = 16 << 20
    wait_s: float = 5.0


class Statements:
    """What is known of one role's statements: the executor's text and each statement's parameter types."""

    def __init__(self, role: str, caps: Caps) -> None:
        filled = {"role": quoted(role), "rows": caps.rows, "bytes": caps.bytes}
        self._execute = partial(_Q.execute.format, **filled)
        finish = _Q.finish.format(finish=quoted(f"{role}_finish"), role=literal(role))
        self._commit = (f"{finish}; ", f"{_Q.commit}; {_Q.reset}")
        self.types: dict[str, list[Parameter]] = {}

    def execute(self, kind: str, statement: str, params: list[str | None]) -> str:
        """The executor's call."""
        listed = ",".join([literal(value) if value is not None else "NULL" for value in params])
        return self._execute(kind=literal(kind), statement=literal(statement), params=listed)

    def commit(self, leases: Sequence[Lease], kept: Kept | None = None, deferred: str = "") -> str:
        """The last message of a transaction that succeeded."""
        finish, commit = self._commit
        if leases:
            events = ",".join([str(lease.event) for lease in leases])
            tokens = ",".join([str(lease.token) for lease in leases])
            finish += f"{_Q.complete.format(events=events, tokens=tokens)}; "
        if kept is not None:
            finish += f"{_keeping(leases, kept)}; "
        return deferred + finish + commit

    def learn(self, text: str, types: list[Parameter]) -> None:
        """Remember a statement's types; when there are too many texts, begin anew."""
        if len(self.types) >= _REMEMBERED_TYPES:
            self.types.clear()
        self.types[text] = types


class Door:
    """A role's way into the database: its pool, its statements, the guard and the caps.

    Args:
        postgrest_claims: also set `request.jwt.claims`, which no signature protects, for policies that read it.
    """

    def __init__(
        self, role: str, pool: RolePool, guard: Guard, caps: Caps, *, postgrest_claims: bool = False
    ) -> None:
        self.pool = pool
        self.guard = guard
        self.caps = caps
        self.postgrest_claims = postgrest_claims
        self.statements = Statements(role, caps)


def _keeping(leases: Sequence[Lease], kept: Kept) -> str:
    values = {"output": literal("\\x" + kept.output.hex()), "invocation": literal(kept.invocation)}
    if leases:
        return _Q.keep_event.format(event=leases[0].event, **values)
    return _Q.keep.format(result=literal(kept.result or ""), token=kept.token, **values)
