"""From an author's source to a component, and checks of components made elsewhere.

`build()` is all that the layers above need: it chooses the language by the file's extension.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from aerofn.build import c, component, javascript, python
from aerofn.build.built import Built, silent
from aerofn.errors import InvalidRequest

__all__ = ["ENGINES", "EXTENSIONS", "Built", "build", "output_of"]

ENGINES = javascript.ENGINES
_BUILDERS: dict[str, Callable[..., Built]] = {
    **dict.fromkeys(javascript.EXTENSIONS, javascript.build_javascript),
    **dict.fromkeys(python.EXTENSIONS, python.build_python),
    **dict.fromkeys(c.EXTENSIONS, c.build_c),
    **dict.fromkeys(component.EXTENSIONS, component.build_component),
}
EXTENSIONS = frozenset(_BUILDERS)
_OTHERS = (
    f"supported extensions: {', '.join(sorted(EXTENSIONS))}; others have to make a component"
    " (wit/aerofn.wit) themselves"
)
_RUST = (
    "let Cargo compile it for wasm32-unknown-unknown, and build the .wasm that it makes: docs/c-and-rust.md"
)


def build(
    source: Path,
    output: Path | None = None,
    *,
    minify: bool = False,
    engine: str = ENGINES[0],
    progress: Callable[[str], None] = silent,
) -> Built:
    """Build the component of `source`, or check and wrap it if it is WebAssembly already.

    Args:
        output: else as `output_of` says.
        minify, engine: of JavaScript; see `build_javascript`.

    Raises:
        InvalidRequest: the file is missing, its language is not supported, its toolchain is missing, or
            it does not build; `detail` has the place in the source, `hint` what to do.
        InvalidComponent: it is WebAssembly, and no function.
    """
    if not source.is_file():
        raise InvalidRequest(f"{source} is not a file", hint="give the path of the function's source file")
    builder = _BUILDERS.get(source.suffix)
    if builder is None:
        raise InvalidRequest(
            f"{source.name} is in no language that AeroFn can build",
            hint=_RUST if source.suffix == ".rs" else _OTHERS,
        )
    if builder is javascript.build_javascript:
        builder = partial(builder, minify=minify, engine=engine)
    elif minify or engine != ENGINES[0]:
        raise InvalidRequest(f"--minify and --engine are for JavaScript, and {source.name} is not")
    return builder(source, output or output_of(source), progress=progress)


def output_of(source: Path) -> Path:
    """Where the component of `source` is written by default: beside it, ending in `.wasm`.

    A component that is only checked stays as it is; one that is made of `x.wasm` is `x.component.wasm`.
    """
    if source.suffix == ".wasm" and component.is_module(source):
        return source.with_suffix(".component.wasm")
    return source.with_suffix(".wasm")
