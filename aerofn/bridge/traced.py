"""A traced invocation's transaction: what its writes cause belongs to its trace."""

from aerofn import sql
from aerofn.bridge.door import Door
from aerofn.bridge.quoting import literal
from aerofn.bridge.session import Session
from aerofn.model import Caller, Parent

_Q = sql.queries("session")


def tracing(parent: Parent) -> str:
    """The commands that put what follows in the transaction into a trace."""
    return _Q.trace.format(traceparent=parent.traceparent, tracestate=literal(parent.tracestate or ""))


class TracedSession(Session):
    """A session in the trace of `parent`, the invocation's own span."""

    def __init__(self, door: Door, caller: Caller, function: str, depth: int, parent: Parent) -> None:
        super().__init__(door, caller, function, depth)
        self._parent = parent

    def _beginning(self) -> str:
        return f"{super()._beginning()}; {tracing(self._parent)}"
