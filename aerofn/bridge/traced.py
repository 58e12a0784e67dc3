"""A traced invocation's transaction: what its writes cause belongs to its trace."""

from aerofn import sql
from aerofn.bridge.door import Door
from aerofn.bridge.session import Session
from aerofn.model import Caller

_Q = sql.queries("session")


def tracing(traceparent: str) -> str:
    """The command that puts what follows in the transaction into a trace."""
    return _Q.trace.format(traceparent=traceparent)


class TracedSession(Session):
    """A session in the trace of `traceparent`."""

    def __init__(self, door: Door, caller: Caller, function: str, depth: int, traceparent: str) -> None:
        super().__init__(door, caller, function, depth)
        self._traceparent = traceparent

    def _beginning(self) -> str:
        return f"{super()._beginning()}; {tracing(self._traceparent)}"
