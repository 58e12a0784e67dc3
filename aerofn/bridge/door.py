"""A role's way into the database: its pool, what is known of its statements, and the bounds of an invocation."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import msgspec

from aerofn import sql
from aerofn.bridge.codec import Parameter
from aerofn.bridge.guard import Guard
from aerofn.bridge.quoting import literal, quoted
from aerofn.bridge.verdict import Verdict
from aerofn.db.events import Lease
from aerofn.db.results import Kept
from aerofn.db.role_pool import RolePool

_Q = sql.queries("session")
_REMEMBERED = 32 << 20  # characters of the commands that are remembered


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


class Known(NamedTuple):
    """A statement that was judged, the types of its parameters, and the executor's call around their values."""

    verdict: Verdict
    types: list[Parameter]
    before: str
    after: str

    def call(self, values: list[str | None]) -> str:
        """The executor's call with these values."""
        listed = ",".join([literal(value) if value is not None else "NULL" for value in values])
        return f"{self.before}{listed}{self.after}"


class Statements:
    """What is known of one role's statements, and the commands around them.

    Attributes:
        ending: what a transaction that wrote nothing still needs, in front of the next one's beginning; if that does
            not come, then `unlock` behind it.
    """

    def __init__(self, role: str, caps: Caps) -> None:
        before, after = _Q.execute.split("{params}")
        self._before = partial(before.format, role=quoted(role))
        self._after = after.format(rows=caps.rows, bytes=caps.bytes)
        finish = _Q.finish.format(finish=quoted(f"{role}_finish"), role=literal(role))
        self._finish = f"{finish}; {_Q.close}; "
        self._commit = f"{_Q.commit}; {_Q.reset}; {_Q.unlock}"
        self.ending = f"{_Q.ending}; {_Q.reset}; {_Q.commit}; "
        self._size = 0
        self.known: dict[str, Known] = {}

    def asking(self, verdict: Verdict) -> str:
        """The executor's call that answers a statement's types."""
        return f"{self._before(kind=literal('types'), statement=literal(verdict.text))}{self._after}"

    def with_types(self, verdict: Verdict, types: list[Parameter]) -> Known:
        """A statement as it is called."""
        statement = verdict.with_parameters([kind.expression(n) for n, kind in enumerate(types, 1)])
        before = self._before(kind=literal(verdict.kind), statement=literal(statement))
        return Known(verdict, types, before, self._after)

    def commit(
        self, leases: Sequence[Lease], kept: Kept | None = None, deferred: str = "", *, wrote: bool = True
    ) -> str:
        """The last message of a transaction that succeeded; `wrote`: the guest may have written something."""
        finish = self._finish if wrote else f"{_Q.close}; "
        if leases:
            events = ",".join([str(lease.event) for lease in leases])
            tokens = ",".join([str(lease.token) for lease in leases])
            finish += f"{_Q.complete.format(events=events, tokens=tokens)}; "
        if kept is not None:
            finish += f"{_keeping(leases, kept)}; "
        return f"{deferred}{finish}{self._commit}"

    def learn(self, text: str, known: Known) -> None:
        """Remember a statement; when it is too much text, begin anew."""
        self._size += len(text) + len(known.before)
        if self._size > _REMEMBERED:
            self.known.clear()
            self._size = len(text) + len(known.before)
        self.known[text] = known


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
