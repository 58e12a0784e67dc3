"""From an author's source to a component: JavaScript today, and checks of components made elsewhere.

`build()` is all that the layers above need: it chooses the language by the file's extension.
"""

from collections.abc import Callable
from pathlib import Path

from aerofn.build.built import Built, silent
from aerofn.build.javascript import EXTENSIONS as JAVASCRIPT
from aerofn.build.javascript import build_javascript
from aerofn.errors import InvalidRequest

__all__ = ["Built", "build", "build_javascript"]

SUPPORTED = ", ".join(sorted(JAVASCRIPT))


def build(
    source: Path,
    output: Path | None = None,
    *,
    minify: bool = False,
    progress: Callable[[str], None] = silent,
) -> Built:
    """Build the component of `source`; without `output` it is written beside it, ending in `.wasm`.

    Raises:
        InvalidRequest: the file is missing, its language is not supported, its toolchain is missing, or
            it does not build; `detail` has the place in the source, `hint` what to do.
    """
    if not source.is_file():
        raise InvalidRequest(f"{source} is not a file", hint="give the path of the function's source file")
    if source.suffix not in JAVASCRIPT:
        raise InvalidRequest(
            f"{source.name} is in no language that AeroFn can build",
            hint=f"supported extensions: {SUPPORTED}",
        )
    target = output or source.with_suffix(".wasm")
    return build_javascript(source, target, minify=minify, progress=progress)
