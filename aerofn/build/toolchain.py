"""The pinned JavaScript toolchain: installed once per user and version of its lock file, then reused.

It lives in `~/.cache/aerofn/toolchain/<hash>`, or in `$AEROFN_TOOLCHAIN_DIR/<hash>` where that is set.
The hash covers everything the result depends on, so an upgrade of AeroFn installs a new one beside it.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from aerofn.build.node import SDK, run_script
from aerofn.errors import InvalidRequest

DIRECTORY_KEY = "AEROFN_TOOLCHAIN_DIR"
PACKAGE_FILES = ("package.json", "package-lock.json")
NPM_CI = ("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
DONE = "runtime.wasm"  # written last


def toolchain_home() -> Path:
    """Where this version's toolchain is, or will be."""
    sources = [*(SDK / name for name in PACKAGE_FILES), SDK / "node" / "runtime.mjs"]
    digest = hashlib.sha256(b"\0".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    root = os.environ.get(DIRECTORY_KEY) or "~/.cache/aerofn/toolchain"
    return Path(root).expanduser().absolute() / digest


def ensure_toolchain(node: Path, progress: Callable[[str], None]) -> Path:
    """The installed toolchain's directory; installs it with npm when it is not there yet.

    Raises:
        InvalidRequest: npm is missing or could not install it.
    """
    home = toolchain_home()
    if not (home / DONE).exists():
        progress("installing the JavaScript toolchain (once)")
        _install(node, home)
    return home


def _install(node: Path, home: Path) -> None:
    home.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="installing-", dir=home.parent) as name:
        staging = Path(name) / "toolchain"
        staging.mkdir()
        for file in PACKAGE_FILES:
            shutil.copy(SDK / file, staging / file)
        _npm_ci(staging)
        run_script(node, "runtime.mjs", str(staging))
        _move(staging, home)


def _move(staging: Path, home: Path) -> None:
    try:
        staging.rename(home)
    except OSError:
        if not (home / DONE).exists():  # else another process was quicker, with the same content
            raise


def _npm_ci(folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise InvalidRequest(
            "the JavaScript toolchain is installed with npm, and there is no `npm` on PATH",
            hint="install npm, which comes with Node.js from https://nodejs.org",
            code="toolchain_missing",
        )
    done = subprocess.run([npm, *NPM_CI], cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode != 0:
        raise InvalidRequest(
            "the JavaScript toolchain could not be installed",
            detail=done.stderr.strip()[-2000:] or None,
            hint=f"check that npm reaches its registry: npm ping; it installs {SDK / PACKAGE_FILES[1]}",
            code="toolchain_missing",
        )
