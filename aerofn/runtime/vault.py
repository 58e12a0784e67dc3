"""Compiled components on disk. Loading such a file is running its code, so none is trusted without proof.

Each file has a label beside it: what the deploy found out about the component, and a tag made with a key that
only this directory holds. A file that is damaged, put there by somebody else, or made by another wasmtime
or configuration does not match its tag and is compiled anew.
The directory and its key are for the service's user alone (0700, 0600); who can write there has the key.
Loaded files stay mapped, as programs do: they are replaced, never rewritten.
"""

import asyncio
import contextlib
import errno
import fcntl
import hashlib
import hmac
import mmap
import os
import secrets
import time
from collections.abc import AsyncIterator
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.poly1305 import Poly1305

from aerofn.runtime.config import fingerprint

KEY_SIZE = 32
_AGAIN_S = 0.05
NONCE_SIZE = 16
HEAD_SIZE = NONCE_SIZE + 16  # and Poly1305's tag


class Vault:
    """The directory of compiled components."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.chmod(0o700)
        self._directory = directory
        self._key = self._own_key()
        self._turns = os.fdopen(os.open(directory / "turns", os.O_RDWR | os.O_CREAT, 0o600), "r+b")
        self._fingerprint = fingerprint()

    def _own_key(self) -> bytes:
        path = self._directory / "key"
        with contextlib.suppress(FileExistsError):
            fresh = self._directory / f"key.{secrets.token_hex(8)}"
            _write(fresh, secrets.token_bytes(KEY_SIZE))
            try:
                os.link(fresh, path)  # the first of several processes wins
            finally:
                fresh.unlink()
        return path.read_bytes()

    def path(self, digest: bytes) -> Path:
        """Where the compiled component of `digest` is, or would be."""
        return self._directory / f"{digest.hex()}-{self._fingerprint.hex()}.cwasm"

    def scratch(self) -> Path:
        """A new private name to compile into, on the same file system."""
        return self._directory / f"compiling-{secrets.token_hex(8)}"

    @contextlib.asynccontextmanager
    async def alone(self, digest: bytes, longest_s: float) -> AsyncIterator[bool]:
        """A block in which no other process that uses this directory is at the same time, for one `digest`.

        Tells whether another one was in it and had to be waited for.
        Unless that process takes longer than `longest_s` seconds: one that hangs keeps nobody up.
        """
        place, until = int.from_bytes(digest[:7]), time.monotonic() + longest_s
        waited = False
        while not self._lock(place) and time.monotonic() < until:
            waited = True
            await asyncio.sleep(_AGAIN_S)
        try:
            yield waited
        finally:
            fcntl.lockf(self._turns, fcntl.LOCK_UN, 1, place)

    def _lock(self, place: int) -> bool:
        try:
            fcntl.lockf(self._turns, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
        except OSError as error:
            return error.errno not in (errno.EACCES, errno.EAGAIN)  # else this file system knows no locks
        return True

    def find(self, digest: bytes) -> tuple[Path, bytes] | None:
        """The file to load for `digest` and its label's text, both checked; None if there is none to trust."""
        path = self.path(digest)
        try:
            label = path.with_suffix(".label").read_bytes()
            nonce, tag, text = label[:NONCE_SIZE], label[NONCE_SIZE:HEAD_SIZE], label[HEAD_SIZE:]
            self._checker(digest, nonce, text, path).verify(tag)
        except (OSError, ValueError, InvalidSignature):
            return None
        return path, text

    def keep(self, digest: bytes, compiled: Path, text: bytes) -> Path:
        """Move a freshly compiled file in and label it with `text`; returns where it is."""
        path = self.path(digest)
        nonce = secrets.token_bytes(NONCE_SIZE)
        tag = self._checker(digest, nonce, text, compiled).finalize()
        fresh = self.scratch()
        _write(fresh, nonce + tag + text)
        compiled.chmod(0o600)
        compiled.replace(path)
        fresh.replace(path.with_suffix(".label"))
        return path

    def _checker(self, digest: bytes, nonce: bytes, text: bytes, path: Path) -> Poly1305:
        # Poly1305 needs a new key for each message; it takes a quarter of HMAC-SHA256's time on CPython's 35 MB
        subject = nonce + self._fingerprint + digest + text
        checker = Poly1305(hmac.digest(self._key, subject, hashlib.sha256))
        with (
            path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as code,
            memoryview(code) as view,
        ):
            checker.update(view)
        return checker


def _write(path: Path, data: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
