"""Components of QuickJS functions: as componentize-qjs makes them, in a twentieth of its time, and starting with less.

componentize-qjs links the QuickJS runtime with the world's bindings, compiles all of it, calls its `init` with the
author's code, and writes a component whose memory is the one that `init` left. Only `init` and what it leaves depend on
the code. So all before it is done once for each toolchain and contract:

    runtime.wasm ──stub──▶ a runtime whose `init` does nothing ──componentize-qjs──▶ the bindings, and how all is wired
         │                                                                                      │
         └──────────────────────────────────────link────────────────────────────────────────────┤
                                                                the template: no memory yet ◀───┤
                                          the beginning: the state before `init`, compiled, ◀───┘
                                                                  with a probe to read it

and a build is: instantiate the beginning, call `init`, read memory and globals, write them into the template.
`link` says what a component of ours does not have, and why. That it does what the one of componentize-qjs does is
tested (tests/build/test_quickjs.py).
"""

from aerofn.build.quickjs.base import Base, base_for
from aerofn.build.quickjs.snapshot import snapshot

__all__ = ["Base", "base_for", "snapshot"]
