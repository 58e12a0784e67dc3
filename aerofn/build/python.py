"""Builds Python functions: componentize-py snapshots CPython with the author's file, its packages and the SDK."""

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from aerofn.build.built import Built, built, silent
from aerofn.build.kept import Kept
from aerofn.build.staging import ENTRY, REQUIREMENTS, Stage, missing_module, staged
from aerofn.build.toolchain import toolchain_root
from aerofn.errors import InvalidRequest

EXTENSIONS = frozenset({".py"})
TOOL = "componentize-py"
GUEST_PYTHON = "3.14"  # what componentize-py brings
_MODULE_HINT = (
    f"name its package in {REQUIREMENTS} beside the file; what needs threads, sockets or native code does not"
    " exist in the sandbox"
)
_RUN = "import sys; from componentize_py import script; sys.exit(script())"
_PIP = (
    "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--no-compile",
    "--only-binary=:all:", "--implementation=py", "--platform=any", "--abi=none",
    f"--python-version={GUEST_PYTHON}",
)  # fmt: skip


def build_python(source: Path, output: Path, *, progress: Callable[[str], None] = silent) -> Built:
    """Build the component of a Python file, with the modules beside it and the packages of its requirements.txt.

    Args:
        source: the author's file.
        output: the component's file; its directory is made.
        progress: told what is being done, a few words each time.

    Raises:
        InvalidRequest: the toolchain is missing, a package cannot be had for the sandbox, or the file does
            not load (`code` build_failed; the message starts with file:line where there is one).
    """
    started = time.perf_counter()
    version = _toolchain()
    source = source.absolute()
    output.parent.mkdir(parents=True, exist_ok=True)
    packages = _packages(source.with_name(REQUIREMENTS), progress)
    with staged(source, packages) as stage:
        _demand_modules(source, stage)
        kept = Kept(toolchain_root() / "built")
        key = stage.digest(TOOL, version)
        warnings = kept.take(key, output)
        if warnings is None:
            progress(f"building {source.name} (some 20 seconds; unchanged, it is there at once)")
            _componentize(stage, output)
            warnings = json.loads((stage.app / "warnings.json").read_text(encoding="utf-8"))
            kept.keep(key, output, warnings)
    return built(output, time.perf_counter() - started, warnings)


def _toolchain() -> str:
    if importlib.util.find_spec("componentize_py") is None:
        raise InvalidRequest(
            f"Python functions are built with {TOOL}, and it is not installed beside AeroFn",
            hint=f"install it: {sys.executable} -m pip install 'aerofn[python]'",
            code="toolchain_missing",
        )
    return importlib.metadata.version(TOOL)


def _packages(requirements: Path, progress: Callable[[str], None]) -> Path | None:
    """The folder with the packages of `requirements`, installed when it changes."""
    if not requirements.is_file():
        return None
    text = requirements.read_bytes()
    folder = toolchain_root() / "python-packages" / hashlib.sha256(text).hexdigest()[:16]
    if not folder.exists():
        progress(f"installing the packages of {requirements.name}")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="installing-", dir=folder.parent) as name:
            partial = Path(name) / "packages"
            partial.mkdir()
            _pip(requirements, partial)
            with contextlib.suppress(OSError):  # another build was quicker, with the same packages
                partial.rename(folder)
    return folder


def _pip(requirements: Path, target: Path) -> None:
    command = [sys.executable, *_PIP, "--target", str(target), "--requirement", str(requirements)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode == 0:
        return
    if "No module named pip" in done.stderr:
        raise InvalidRequest(
            "the packages of a Python function are installed with pip, and it is missing",
            hint=f"install it: {sys.executable} -m ensurepip",
            code="toolchain_missing",
        )
    raise InvalidRequest(
        f"the packages of {requirements} cannot be installed for the sandbox",
        detail=done.stderr.strip()[-2000:] or None,
        hint="only packages in pure Python can be had there: those with a wheel that ends in -none-any.whl",
        code="build_failed",
    )


def _demand_modules(source: Path, stage: Stage) -> None:
    missing = missing_module(source, stage)
    if missing is not None:
        line, name = missing
        message = f"{source.name}:{line}: there is no module `{name}`"
        raise InvalidRequest(message, hint=_MODULE_HINT, code="build_failed")


def _componentize(stage: Stage, output: Path) -> None:
    partial = output.with_name(f"{output.name}.{os.getpid()}.partial")
    command = [
        sys.executable, "-c", _RUN, "--quiet", "--wit-path", str(stage.wit), "--world", "guest",
        "componentize", "--python-path", str(stage.sdk), "--python-path", str(stage.app), ENTRY,
        "--output", str(partial.absolute()),
    ]  # fmt: skip
    environment = {**os.environ, "VIRTUAL_ENV": str(stage.environment)}
    done = subprocess.run(  # noqa: S603
        command, capture_output=True, text=True, check=False, env=environment, cwd=stage.folder
    )
    if done.returncode != 0:
        partial.unlink(missing_ok=True)
        raise _failure(stage, done.stderr or done.stdout)
    partial.rename(output)


def _failure(stage: Stage, said: str) -> InvalidRequest:
    """What to tell the author: the file's own error if it was that, else the tool's."""
    note = stage.app / "failure.json"
    if not note.is_file():
        detail = said.strip()[-2000:] or None
        return InvalidRequest("the Python toolchain failed", detail=detail, code="build_failed")
    found = json.loads(note.read_text(encoding="utf-8"))
    where = f"{found['file']}:{found['line']}: " if found["file"] else ""
    hint = _MODULE_HINT if found["module"] else None
    message = f"{where}{found['name']}: {found['message']}"
    return InvalidRequest(message, detail=found["stack"], hint=hint, code="build_failed")
