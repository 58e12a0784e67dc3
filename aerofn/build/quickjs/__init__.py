"""Components of QuickJS functions, as componentize-qjs makes them and in a twentieth of its time.

componentize-qjs links the QuickJS runtime with the world's bindings, compiles all of it, calls its `init` with the
author's code, and writes a component whose memory is the one that `init` left. Only `init` and what it leaves depend on
the code. So all before it is done once for each toolchain and contract:

    runtime.wasm ──stub──▶ a runtime whose `init` does nothing ──componentize-qjs──▶ a component as it is before `init`
                                                                        │ with the true `init`: the template
                                                                        └ with a probe to read its state: compiled

and a build is: instantiate that, call `init`, read memory and globals, write them into the template. The component is
byte for byte the one that componentize-qjs makes, up to 10,000 segments of data; above, both close the narrowest gaps
between them until that many are left, and which ones of equal width may differ, so the bytes do and the state does not
(tests/build/test_quickjs.py compares both).
"""

from aerofn.build.quickjs.base import Base, base_for
from aerofn.build.quickjs.snapshot import snapshot

__all__ = ["Base", "base_for", "snapshot"]
