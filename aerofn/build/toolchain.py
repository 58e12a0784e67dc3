"""The pinned JavaScript toolchains: each installed once per user and version of its lock file, then reused.

They live in `~/.cache/aerofn/toolchain/<hash>`, or in `$AEROFN_TOOLCHAIN_DIR/<hash>` where that is set.
The hash covers everything the result depends on, so an upgrade of AeroFn installs a new one beside it.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from aerofn.build.node import SDK, run_script
from aerofn.errors import InvalidRequest

DIRECTORY_KEY = "AEROFN_TOOLCHAIN_DIR"
PACKAGE_FILES = ("package.json", "package-lock.json")
NPM_CI = ("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")


def toolchain_root() -> Path:
    """Where toolchains, their packages and kept builds are."""
    return Path(os.environ.get(DIRECTORY_KEY) or "~/.cache/aerofn/toolchain").expanduser().absolute()


@dataclass(frozen=True)
class Toolchain:
    """npm packages and what is made of them once.

    Attributes:
        name: as the author is told.
        packages: the folder with its package.json and package-lock.json.
        script: of `sdk/node/`, run when the packages are there.
        done: a file of it that is written last.
    """

    name: str
    packages: Path
    script: str | None
    done: str

    @property
    def home(self) -> Path:
        """Where this version of it is, or will be."""
        sources = [self.packages / name for name in PACKAGE_FILES]
        if self.script is not None:
            sources.append(SDK / "node" / self.script)
        digest = hashlib.sha256(b"\0".join(path.read_bytes() for path in sources)).hexdigest()[:16]
        return toolchain_root() / digest


QUICKJS = Toolchain("the JavaScript toolchain", SDK, "runtime.mjs", "runtime.wasm")
SPIDERMONKEY = Toolchain(
    "SpiderMonkey's toolchain", SDK / "spidermonkey", None, "node_modules/.package-lock.json"
)


def ensure_toolchain(toolchain: Toolchain, node: Path, progress: Callable[[str], None]) -> Path:
    """The installed toolchain's directory; installs it with npm when it is not there yet.

    Raises:
        InvalidRequest: npm is missing or could not install it.
    """
    home = toolchain.home
    if not (home / toolchain.done).exists():
        progress(f"installing {toolchain.name} (once)")
        _install(toolchain, node, home)
    return home


def _install(toolchain: Toolchain, node: Path, home: Path) -> None:
    home.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="installing-", dir=home.parent) as name:
        staging = Path(name) / "toolchain"
        staging.mkdir()
        for file in PACKAGE_FILES:
            shutil.copy(toolchain.packages / file, staging / file)
        _npm_ci(toolchain, staging)
        if toolchain.script is not None:
            run_script(node, toolchain.script, str(staging))
        _move(staging, home, toolchain.done)


def _move(staging: Path, home: Path, done: str) -> None:
    try:
        staging.rename(home)
    except OSError:
        if not (home / done).exists():  # else another process was quicker, with the same content
            raise


def _npm_ci(toolchain: Toolchain, folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise InvalidRequest(
            f"{toolchain.name} is installed with npm, and there is no `npm` on PATH",
            hint="install npm, which comes with Node.js from https://nodejs.org",
            code="toolchain_missing",
        )
    done = subprocess.run([npm, *NPM_CI], cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode != 0:
        raise InvalidRequest(
            f"{toolchain.name} could not be installed",
            detail=done.stderr.strip()[-2000:] or None,
            hint=f"check that npm reaches its registry: npm ping; it installs {toolchain.packages / PACKAGE_FILES[1]}",
            code="toolchain_missing",
        )
