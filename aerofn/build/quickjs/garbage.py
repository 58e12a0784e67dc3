"""When QuickJS looks for garbage: not in a small invocation.

It frees by counting references, and looks for rings when what is allocated exceeds a mark, which is half as much again
as was left after the last look. In a snapshot the mark is where the author's top level happened to leave it: a function
whose heap lies just below it would look through all of it in every invocation, which takes longer than a small one.
"""

from aerofn.build.quickjs.cores import STACK
from aerofn.runtime.binary import UnsupportedError
from aerofn.runtime.initial import Initial, State

ROOM = 1 << 20  # bytes that an invocation allocates, at the least, before the first look
_WORD = 4
_OFF = b"\xff" * _WORD
_EMPTY = "export const handle = () => undefined; export const turn = handle;"


def mark_in(initial: Initial, shim: str) -> int:
    """The mark's address: where memory is another, behind the stack, if `init` is told never to look.

    Raises:
        UnsupportedError: this QuickJS has no such place.
    """
    looks, never = (initial.state_after("init", shim, _EMPTY, None, off).memory for off in (False, True))
    others = [
        at
        for at in range(STACK, min(len(looks), len(never)), _WORD)
        if looks[at : at + _WORD] != never[at : at + _WORD]
    ]
    if len(others) != 1 or never[others[0] : others[0] + _WORD] != _OFF:
        raise UnsupportedError("where QuickJS keeps when it looks for garbage")
    return others[0]


def with_room(state: State, mark: int) -> State:
    """The state with room for an invocation below the mark: nobody has allocated more than there is memory."""
    memory = bytearray(state.memory)
    now = int.from_bytes(memory[mark : mark + _WORD], "little")
    memory[mark : mark + _WORD] = max(now, len(memory) + ROOM).to_bytes(_WORD, "little")
    return State(bytes(memory), state.globals)
