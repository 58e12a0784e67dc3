"""Builds the shared library of `aerofn/runtime`'s C: at every installation by hatchling, and alone by `make`.

`python tools/build_library.py` builds it beside its source; with `--check` it only shows that no warning comes up.
It needs nothing but the standard library, and any C compiler: `$CC`, cc, gcc, clang, else Zig's from PyPI.
"""

import hashlib
import importlib.util
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hatchling.builders.config import BuilderConfig
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "aerofn" / "runtime" / "native"
LIBRARY = FOLDER / ("libaerofn.dylib" if sys.platform == "darwin" else "libaerofn.so")
# The processor's baseline: Zig's own choice is all that this machine can do, and a wheel may go to another.
_ZIG = [sys.executable, "-m", "ziglang", "cc", "-mcpu=baseline"]
_FLAGS = ["-O2", "-std=c11", "-fPIC", "-shared", "-pthread", "-Wall", "-Wextra"]
_PROBE = b"#include <dlfcn.h>\n#include <pthread.h>\n"


class BuildError(Exception):
    """There is no compiler, or it failed: then it has said why on standard error."""


def compiler() -> list[str] | None:
    """The command of a C compiler: `$CC`, else the first one that works, else Zig's where it is installed."""
    if chosen := shlex.split(os.environ.get("CC", "")):
        return chosen
    working = next((name for name in ("cc", "gcc", "clang") if _works(name)), None)
    if working is not None:
        return [working]
    return _ZIG if importlib.util.find_spec("ziglang") else None


def _works(name: str) -> bool:
    # One may be there without the C library's headers, or as a stub that asks to be installed.
    with tempfile.TemporaryDirectory(prefix="aerofn-cc-") as scratch:
        command = [name, *_FLAGS, "-x", "c", "-", "-o", f"{scratch}/probe"]
        try:
            done = subprocess.run(command, input=_PROBE, capture_output=True, check=False)  # noqa: S603
        except OSError:
            return False
        return done.returncode == 0


def build(output: Path, *flags: str) -> None:
    """Compile the library; whoever has an older one loaded keeps that.

    Raises:
        BuildError: there is no compiler, or it failed.
    """
    chosen = compiler()
    if chosen is None:
        raise BuildError("there is no C compiler: install gcc or clang, or pip install ziglang")
    unfinished = output.with_name(f"{output.name}.{os.getpid()}")
    own = shlex.split(os.environ.get("CFLAGS", ""))
    command = [*chosen, *_FLAGS, *own, *flags, *_source(), "-o", str(unfinished)]
    try:
        done = subprocess.run(command, check=False)  # noqa: S603
        if done.returncode != 0:
            raise BuildError(f"{shlex.join(command)} ended with {done.returncode}")
        unfinished.replace(output)
    except OSError as error:
        raise BuildError(f"{shlex.join(command)}: {error}") from None
    finally:
        unfinished.unlink(missing_ok=True)


def _source() -> list[str]:
    """The files to compile, and the definition that lets a loader see what they were."""
    texts = sorted(FOLDER.glob("*.[ch]"))
    digest = hashlib.sha256(b"".join(path.name.encode() + path.read_bytes() for path in texts)).hexdigest()
    return [f'-DSOURCE_DIGEST="{digest}"', *(str(path) for path in texts if path.suffix == ".c")]


def main() -> None:
    """Build it, or check its source."""
    if sys.argv[1:] == ["--check"]:
        with tempfile.TemporaryDirectory(prefix="aerofn-check-") as scratch:
            build(Path(scratch) / LIBRARY.name, "-Werror")
    elif compiler() is None:  # pip has the hook below bring one for as long as it builds
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--editable", str(ROOT)]
        sys.exit(subprocess.run(command, check=False).returncode)  # noqa: S603
    else:
        build(LIBRARY)


def get_build_hook() -> "type[BuildHookInterface[BuilderConfig]]":
    """What hatchling asks this file for. It is not there where the library is built alone."""
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface  # noqa: PLC0415
    from packaging.tags import platform_tags  # noqa: PLC0415

    class LibraryHook(BuildHookInterface["BuilderConfig"]):
        def dependencies(self) -> list[str]:
            if compiler() is not None:
                return []
            return [one for one in self.metadata.core.optional_dependencies["c"] if one.startswith("ziglang")]

        def initialize(self, version: str, build_data: dict[str, Any]) -> None:
            # No Python.h: one library for every Python, of this platform alone.
            platform = next(tag for tag in platform_tags() if not tag.startswith(("manylinux", "musllinux")))
            build_data.update(pure_python=False, tag=f"py3-none-{platform}")
            try:
                self._build(version, build_data)
            except BuildError as error:
                self.app.abort(f"AeroFn's library cannot be built: {error}")

        def _build(self, version: str, build_data: dict[str, Any]) -> None:
            if version == "editable":
                build(LIBRARY)
                return
            self._scratch = tempfile.TemporaryDirectory(prefix="aerofn-wheel-")  # gone with this hook
            built = Path(self._scratch.name) / LIBRARY.name
            build(built)
            build_data["force_include"][str(built)] = str(LIBRARY.relative_to(ROOT))

    return LibraryHook


if __name__ == "__main__":
    try:
        main()
    except BuildError as error:
        sys.exit(f"AeroFn's library cannot be built: {error}")
