"""From an author's bundled code to a component: `init` is run, and what it left becomes the component's first state."""

import re

from aerofn.build.quickjs import module, nest
from aerofn.build.quickjs.base import Base
from aerofn.runtime import section
from aerofn.runtime.initial import State
from aerofn.runtime.surgery import PAGE

_MOST = 10_000  # segments; engines refuse many more
# what is not zero, together with zeros in between that take less than another segment's head
_PART = re.compile(rb"[^\0]+(?:\0{1,4}[^\0]+)*")


def snapshot(base: Base, code: str) -> bytes:
    """The component of a function whose JavaScript is `code`, one ES module with the SDK in it.

    Raises:
        NotInitialised: the module's top level fails; the text is QuickJS' error with its stack.
    """
    return _frozen(base.template, base.initial.state_after("init", base.shim, code, None, False))


def _frozen(template: bytes, state: State) -> bytes:
    """The template with that state as its first one."""
    values = iter(state.globals)
    memory = module.memory(len(state.memory) // PAGE)
    data = module.data((start, state.memory[start:end]) for start, end in spans(state.memory))

    def change(index: int, kind: int, content: bytes) -> bytes:
        if kind == section.GLOBAL:
            return module.with_globals(content, values)
        if index == nest.HOME and kind in (section.MEMORY, section.DATA):
            return memory if kind == section.MEMORY else data
        return content

    return nest.rewritten(template, change)


def spans(memory: bytes) -> list[tuple[int, int]]:
    """Start and end of the segments that `memory` is written as: at most _MOST, by closing the narrowest gaps."""
    found = [match.span() for match in _PART.finditer(memory)]
    by_gap = sorted(range(1, len(found)), key=lambda i: found[i][0] - found[i - 1][1])
    closed = set(by_gap[: max(0, len(found) - _MOST)])
    joined = found[:1]
    for i, (start, end) in enumerate(found[1:], 1):
        if i in closed:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined
