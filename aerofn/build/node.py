"""Finds and runs the author's Node.js."""

import atexit
import functools
import json
import re
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Any

from aerofn.errors import InvalidRequest

OLDEST = 20
INSTALL = f"install Node.js {OLDEST} or later from https://nodejs.org, or with: nvm install --lts"
SDK = Path(__file__).with_name("sdk")
_END_S = 5.0


def _missing(message: str) -> InvalidRequest:
    return InvalidRequest(message, hint=INSTALL, code="toolchain_missing")


def _failed(detail: str) -> InvalidRequest:
    return InvalidRequest("the JavaScript toolchain failed", detail=detail[-2000:], code="build_failed")


def find_node() -> Path:
    """The author's `node`, of a version that can build.

    Raises:
        InvalidRequest: there is none on PATH, or it is too old.
    """
    found = shutil.which("node")
    if found is None:
        raise _missing("JavaScript functions are built with Node.js, and there is no `node` on PATH")
    said = _version(found, Path(found).stat().st_mtime_ns)
    version = re.match(r"v(\d+)\.", said)
    if version is None:
        raise _missing(f"{found} --version says {said!r}")
    if int(version[1]) < OLDEST:
        raise _missing(f"{found} is {said}, and JavaScript functions need v{OLDEST} or later")
    return Path(found)


@functools.lru_cache
def _version(node: str, _changed_ns: int) -> str:
    answer = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)  # noqa: S603
    return answer.stdout.strip() or answer.stderr.strip()


def run_script(node: Path, script: str, *arguments: str, stdin: str = "") -> str:
    """Run one of the SDK's own scripts (`sdk/node/`) and give its standard output.

    Raises:
        InvalidRequest: it failed, and not because of the author's code: that is told on standard output.
    """
    command = [str(node), str(SDK / "node" / script), *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode != 0:
        raise _failed(done.stderr.strip() or f"{script} ended with {done.returncode}")
    return done.stdout


class Workshop:
    """A Node process with build.mjs, which stays: started anew, it would load esbuild for each build.

    It ends when its standard input does, so it cannot outlive this process.
    """

    def __init__(self, node: Path) -> None:
        self._command = [str(node), str(SDK / "node" / "build.mjs")]
        self._turn = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to a request of build.mjs.

        Raises:
            InvalidRequest: the author has to mend something, or the toolchain failed.
        """
        with self._turn:
            answer = self._answer(json.dumps(request).encode() + b"\n")
        if "broken" in answer:
            raise _failed(answer["broken"])
        if "error" in answer:
            error = answer["error"]
            raise InvalidRequest(error["message"], detail=error.get("detail"), code="build_failed")
        found: dict[str, Any] = answer["ok"]
        return found

    def _answer(self, line: bytes) -> dict[str, Any]:
        process = self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(line)
            process.stdin.flush()
            answer: dict[str, Any] = json.loads(process.stdout.readline())
        except (OSError, ValueError):  # it has ended, or was ended
            self._said.seek(0)
            said = self._said.read().decode(errors="replace").strip()
            self.close()
            raise _failed(said or f"build.mjs ended with {process.returncode}") from None
        return answer

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self.close()
            self._said = tempfile.TemporaryFile()  # noqa: SIM115  its own output, for as long as it runs
            self._process = subprocess.Popen(  # noqa: S603
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said
            )
        return self._process

    def close(self) -> None:
        """End the process, if there is one."""
        process, self._process = self._process, None
        if process is not None:
            try:
                process.communicate(timeout=_END_S)
            except subprocess.TimeoutExpired:  # it is in the middle of something that nobody waits for
                process.kill()
                process.communicate()
            self._said.close()


@functools.lru_cache
def workshop(node: Path) -> Workshop:
    """The one of this process."""
    made = Workshop(node)
    atexit.register(made.close)
    return made
