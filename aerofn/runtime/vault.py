"""Compiled components on disk. Loading such a file is running its code, so none is trusted without proof.

Each file has a label beside it: what the deploy found out about the component, and a tag made with a key that
only this directory holds. A file that is damaged, put there by somebody else, or made by another wasmtime
or configuration does not match its tag and is compiled anew.
The directory and its key are for the service's user alone (`private`); who can write there has the key.
Loaded files stay mapped and open, as programs do: they are replaced or removed, never rewritten. What was not used
for longest is removed when all together are too large. Each process decides that for itself, without a lock: two that
trim at once remove the same files, who has one open keeps it (and its space) as long as it needs it, and who misses one
compiles again.
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
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import IO, Self

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from aerofn.runtime.config import fingerprint
from aerofn.runtime.private import FULL, own_key

_AGAIN_S = 0.05
_HALF_DONE_S = 3600.0  # no compilation takes so long
_CODE, _LABEL, _SCRATCH = ".cwasm", ".label", "compiling-"
NONCE_SIZE = 16
HEAD_SIZE = NONCE_SIZE + 16  # and the tag


class CodeFile:
    """An open file of machine code; it can be read through `path` as long as this is there, wherever else it is."""

    def __init__(self, descriptor: int, path: Path) -> None:
        self.descriptor = descriptor
        self.path = path

    @classmethod
    def opened(cls, path: Path) -> Self:
        """A file of the cache directory."""
        descriptor = os.open(path, os.O_RDONLY)
        return cls(descriptor, Path(f"/dev/fd/{descriptor}"))

    @classmethod
    def in_memory(cls) -> Self:
        """A file without a place on disk, which the compiler's process can write."""
        descriptor = os.memfd_create("aerofn")
        return cls(descriptor, Path(f"/proc/{os.getpid()}/fd/{descriptor}"))

    @property
    def size(self) -> int:
        """In bytes."""
        return os.fstat(self.descriptor).st_size

    def __del__(self) -> None:
        os.close(self.descriptor)


class Vault:
    """The directory of compiled components."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = own_key(directory)
        self._turns = _turns(directory)
        self._fingerprint = fingerprint()

    def path(self, digest: bytes) -> Path:
        """Where the compiled component of `digest` is, or would be."""
        return self._directory / f"{digest.hex()}-{self._fingerprint.hex()}{_CODE}"

    def scratch(self) -> Path:
        """A new private name to compile into, on the same file system."""
        return self._directory / f"{_SCRATCH}{secrets.token_hex(8)}"

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

    def find(self, digest: bytes) -> tuple[CodeFile, bytes] | None:
        """The file to load for `digest` and its label's text, both checked; None if there is none to trust."""
        path = self.path(digest)
        try:
            label = path.with_suffix(_LABEL).read_bytes()
            nonce, tag, text = label[:NONCE_SIZE], label[NONCE_SIZE:HEAD_SIZE], label[HEAD_SIZE:]
            file = CodeFile.opened(path)
            trusted = hmac.compare_digest(tag, self._tag(digest, nonce, text, file))
        except (OSError, ValueError):
            return None
        if not trusted:
            return None
        self.used([digest])
        return file, text

    def keep(self, digest: bytes, compiled: Path, text: bytes) -> CodeFile:
        """Move a freshly compiled file in and label it with `text`."""
        path, file = self.path(digest), CodeFile.opened(compiled)
        nonce = secrets.token_bytes(NONCE_SIZE)
        tag = self._tag(digest, nonce, text, file)
        fresh = self.scratch()
        _write(fresh, nonce + tag + text)
        compiled.chmod(0o600)
        compiled.replace(path)
        fresh.replace(path.with_suffix(_LABEL))
        return file

    def used(self, digests: Iterable[bytes]) -> None:
        """Say that these are in use: the time of a label's last change is that of its last use."""
        for digest in digests:
            with contextlib.suppress(OSError):
                os.utime(self.path(digest).with_suffix(_LABEL))

    def trim(self, most: int) -> None:
        """Remove what was not used for longest until all has no more than `most` bytes, and what was left half done."""
        sizes: dict[Path, int] = {}
        last: dict[Path, float] = {}
        forgotten = time.time() - _HALF_DONE_S
        with contextlib.suppress(OSError):
            for path in self._directory.iterdir():
                self._count(path, sizes, last, forgotten)
        total = sum(sizes.values())
        for path in sorted(last, key=last.__getitem__):
            if total <= most:
                break
            _remove(path)
            _remove(path.with_suffix(_LABEL))
            total -= sizes[path]

    def _count(self, path: Path, sizes: dict[Path, int], last: dict[Path, float], forgotten: float) -> None:
        """A component's size and last use under its code's path, whichever of its two files is there."""
        try:
            about = path.stat()
        except OSError:
            return  # another process was quicker
        if path.suffix in (_CODE, _LABEL):
            code = path.with_suffix(_CODE)
            sizes[code] = sizes.get(code, 0) + about.st_size
            last[code] = max(last.get(code, 0.0), about.st_mtime)
        elif path.name.startswith((_SCRATCH, "key.")) and about.st_mtime < forgotten:
            _remove(path)

    def _tag(self, digest: bytes, nonce: bytes, text: bytes, file: CodeFile) -> bytes:
        # GMAC: for CPython's 35 MB 8 ms, where Poly1305 takes 18 and HMAC-SHA256 more than that. A key tags one
        # message, so its own nonce may always be the same.
        key = hmac.digest(self._key, nonce + self._fingerprint + digest + text, hashlib.sha256)
        with mmap.mmap(file.descriptor, 0, access=mmap.ACCESS_READ) as code, memoryview(code) as view:
            return AESGCM(key).encrypt(bytes(12), b"", view)


def _turns(directory: Path) -> IO[bytes]:
    """The file whose locks are the turns of processes; on a full disk one that nobody else has."""
    try:
        return os.fdopen(os.open(directory / "turns", os.O_RDWR | os.O_CREAT, 0o600), "r+b")
    except OSError as error:
        if error.errno not in FULL or not hasattr(os, "memfd_create"):
            raise
        return os.fdopen(os.memfd_create("aerofn-turns"), "r+b")


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def _write(path: Path, data: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
