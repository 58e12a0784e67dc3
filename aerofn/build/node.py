"""Finds and runs the author's Node.js."""

import re
import shutil
import subprocess
from pathlib import Path

from aerofn.errors import InvalidRequest

OLDEST = 20
INSTALL = f"install Node.js {OLDEST} or later from https://nodejs.org, or with: nvm install --lts"
SDK = Path(__file__).with_name("sdk")


def _missing(message: str) -> InvalidRequest:
    return InvalidRequest(message, hint=INSTALL, code="toolchain_missing")


def find_node() -> Path:
    """The author's `node`, of a version that can build.

    Raises:
        InvalidRequest: there is none on PATH, or it is too old.
    """
    found = shutil.which("node")
    if found is None:
        raise _missing("JavaScript functions are built with Node.js, and there is no `node` on PATH")
    answer = subprocess.run([found, "--version"], capture_output=True, text=True, check=False)  # noqa: S603
    version = re.match(r"v(\d+)\.", answer.stdout)
    if version is None:
        raise _missing(f"{found} --version says {answer.stdout.strip() or answer.stderr.strip()!r}")
    if int(version[1]) < OLDEST:
        raise _missing(
            f"{found} is {answer.stdout.strip()}, and JavaScript functions need v{OLDEST} or later"
        )
    return Path(found)


def run_script(node: Path, script: str, *arguments: str, stdin: str = "") -> str:
    """Run one of the SDK's own scripts (`sdk/node/`) and give its standard output.

    Raises:
        InvalidRequest: it failed, and not because of the author's code: that is told on standard output.
    """
    command = [str(node), str(SDK / "node" / script), *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode != 0:
        raise InvalidRequest(
            "the JavaScript toolchain failed",
            detail=done.stderr.strip()[-2000:] or f"{script} ended with {done.returncode}",
            code="build_failed",
        )
    return done.stdout
