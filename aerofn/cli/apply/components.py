"""The components of a project's functions: built from their sources, or taken as they are."""

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from aerofn.build import build
from aerofn.build.built import silent
from aerofn.project import Project


def components(
    declared: Project, progress: Callable[[str], None] = silent, *, kept: Mapping[str, bytes] | None = None
) -> dict[str, bytes]:
    """Each function's component by its name.

    Args:
        progress: told what is being built.
        kept: components that are known already; they are not built again.

    Raises:
        InvalidRequest: a source does not build; says where and why.
    """
    made = dict(kept or {})
    with tempfile.TemporaryDirectory(prefix="aerofn-") as folder:
        for name, function in declared.functions.items():
            if name not in made:
                source = declared.folder / function.source
                if source.suffix != ".wasm":
                    source = build(source, Path(folder) / f"{name}.wasm", progress=progress).output
                made[name] = source.read_bytes()
    return {name: made[name] for name in declared.functions}
