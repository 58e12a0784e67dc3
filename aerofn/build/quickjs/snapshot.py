"""From an author's bundled code to a component: `init` is run, and what it left becomes the component's first state."""

import heapq
import itertools
import re

from aerofn.build.quickjs import module
from aerofn.build.quickjs.base import Base
from aerofn.build.quickjs.garbage import with_room
from aerofn.runtime import section
from aerofn.runtime.initial import State
from aerofn.runtime.surgery import PAGE

_MOST = 10_000  # segments; engines refuse many more
# zeros that take more than another segment's head; what lies between is not matched, which would take memory for it
_GAP = re.compile(rb"\0{5,}")


def snapshot(base: Base, code: str) -> bytes:
    """The component of a function whose JavaScript is `code`, one ES module with the SDK in it.

    Raises:
        NotInitialised: the module's top level fails; the text is QuickJS' error with its stack.
    """
    state = base.initial.state_after("init", base.shim, code, None, False)
    return _frozen(base.template, with_room(state, base.mark))


def _frozen(template: bytes, state: State) -> bytes:
    """The template with that state as its first one."""
    values = iter(state.globals)
    memory = module.memory(len(state.memory) // PAGE)
    data = module.data((start, state.memory[start:end]) for start, end in spans(state.memory))

    def change(kind: int, content: bytes) -> bytes:
        if kind == section.GLOBAL:
            return module.with_globals(content, values)
        return {section.MEMORY: memory, section.DATA: data}.get(kind, content)

    return module.with_modules(
        template, lambda index, core: core if index else module.rewritten(core, change)
    )


def spans(memory: bytes, most: int = _MOST) -> list[tuple[int, int]]:
    """Start and end of the segments that `memory` is written as: at most `most`, by closing the narrowest gaps."""
    end = len(memory.rstrip(b"\0"))
    if end == 0:
        return []
    start = len(memory) - len(memory.lstrip(b"\0"))
    gaps = (match.span() for match in _GAP.finditer(memory, start, end))
    widest = heapq.nlargest(most - 1, gaps, key=lambda gap: (gap[1] - gap[0], gap[0]))
    edges = [start, *itertools.chain.from_iterable(sorted(widest)), end]
    return list(zip(edges[::2], edges[1::2], strict=True))
