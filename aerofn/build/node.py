"""Finds and runs the author's Node.js."""

import atexit
import contextlib
import functools
import itertools
import json
import re
import shutil
import socket
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

    It is spoken with over a socket that is its standard input, which none of its children inherits: what they print,
    and an author's code with them, is never taken for an answer. It ends when the socket does, so it cannot outlive
    this process.
    """

    def __init__(self, node: Path) -> None:
        self._command = [str(node), str(SDK / "node" / "build.mjs")]
        self._turn = threading.Lock()
        self._numbers = itertools.count(1)
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to a request of build.mjs.

        Raises:
            InvalidRequest: the author has to mend something, or the toolchain failed.
        """
        with self._turn:
            answer = self._answer({**request, "id": next(self._numbers)})
        match answer:
            case {"ok": found}:
                return dict(found)
            case {"error": error}:
                raise InvalidRequest(error["message"], detail=error.get("detail"), code="build_failed")
        raise _failed(str(answer["broken"]))

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        self._start()
        line = b""
        try:
            self._wire.write(json.dumps(request).encode() + b"\n")
            self._wire.flush()
            line = self._wire.readline()
            return _checked(json.loads(line), request["id"])
        except (OSError, ValueError):  # it has ended, was ended, or is out of step
            unexpected = f"build.mjs answered {line[:200]!r}" if line else "build.mjs has ended"
            raise _failed(self.close() or unexpected) from None

    def _start(self) -> None:
        if self._process is not None and self._process.poll() is None:
            return
        self.close()
        ours, its = socket.socketpair()
        with ours, its:
            self._wire = ours.makefile("rwb")
            self._said = tempfile.TemporaryFile()  # noqa: SIM115  its errors, for as long as it runs
            self._process = subprocess.Popen(  # noqa: S603
                self._command, stdin=its.fileno(), stdout=subprocess.DEVNULL, stderr=self._said
            )

    def close(self) -> str:
        """End the process, if there is one; what it said on standard error."""
        process, self._process = self._process, None
        if process is None:
            return ""
        with contextlib.suppress(OSError):  # what was not sent yet
            self._wire.close()
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:  # it is in the middle of something that nobody waits for
            process.kill()
            process.wait()
        with self._said as said:
            said.seek(0)
            return said.read().decode(errors="replace").strip()


def _checked(answer: Any, number: int) -> dict[str, Any]:
    """An answer of the known forms to the request of that number; ValueError if it is none."""
    match answer:
        case {"id": found, "ok": dict()} | {"id": found, "broken": str()} if found == number:
            return dict(answer)
        case {"id": found, "error": {"message": str()}} if found == number:
            return dict(answer)
    raise ValueError


@functools.lru_cache
def workshop(node: Path) -> Workshop:
    """The one of this process."""
    made = Workshop(node)
    atexit.register(made.close)
    return made
