"""The directory of compiled components and its key: the service's user's own, or not used at all.

Whoever can write the key can have the service run any machine code. So a directory of another user is refused, and a
key that another could have written or read is replaced: what was tagged with it is then compiled anew.
"""

import contextlib
import errno
import logging
import os
import secrets
import stat
from pathlib import Path

from aerofn.errors import SettingsError

KEY_SIZE = 32
FULL = (errno.ENOSPC, errno.EDQUOT)
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_TRIES = 10  # others may replace it in the same moment

_log = logging.getLogger("aerofn.runtime")


def own_key(directory: Path) -> bytes:
    """Make `directory` if it is not there, and give its key.

    Raises:
        SettingsError: it is another user's, or cannot be used. A full disk is no such reason: the key then lasts as
            long as the process.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return _key(directory / "key", trusted=_made_private(directory))
    except OSError as error:
        if error.errno in FULL:
            _log.error("the cache directory has no room for its key, so nothing in it is used: %s", error)
            return secrets.token_bytes(KEY_SIZE)
        raise SettingsError(
            f"the directory for compiled components, {directory}, cannot be used",
            detail=str(error),
            hint="set AEROFN_CACHE_DIR to a directory that AeroFn may make, or that belongs to its user",
        ) from None


def _made_private(directory: Path) -> bool:
    """Close the directory to all others; returns whether they could not write to it before. Refuses somebody else's."""
    about = directory.stat()
    check_owner(directory, about, os.geteuid())
    if stat.S_IMODE(about.st_mode) != 0o700:
        directory.chmod(0o700)
    return not about.st_mode & _WRITABLE_BY_OTHERS


def check_owner(directory: Path, about: os.stat_result, user: int) -> None:
    """Refuse a directory that belongs to another user than `user`; raises SettingsError."""
    if about.st_uid != user:
        raise SettingsError(
            f"the directory for compiled components, {directory}, belongs to another user",
            detail=f"its owner is user {about.st_uid}, and AeroFn runs as user {user}."
            " Whoever can write there can have AeroFn run any machine code.",
            hint=f"chown -R {user} {directory}, if nobody else has had access to it; else delete it, or set"
            " AEROFN_CACHE_DIR to another one",
        )


def _key(path: Path, *, trusted: bool) -> bytes:
    for _ in range(_TRIES):
        key = _read(path) if trusted else None
        if key is not None:
            return key
        trusted = True
        path.unlink(missing_ok=True)
        _put(path, secrets.token_bytes(KEY_SIZE))
    raise OSError(errno.EPERM, "its file system keeps no file for one user alone", str(path))


def _read(path: Path) -> bytes | None:
    """The key, if nobody else can have written or read it."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            if is_private(os.fstat(file.fileno()), os.geteuid()):
                return file.read(KEY_SIZE)
    except FileNotFoundError:
        return None
    except OSError as error:
        _log.warning("the cache directory's key cannot be read: %s", error)
        return None
    _log.warning("the cache directory's key is damaged or was not private: all in it is compiled anew")
    return None


def is_private(about: os.stat_result, user: int) -> bool:
    """Whether a key file is whole, `user`'s, and for nobody else."""
    whole = stat.S_ISREG(about.st_mode) and about.st_size == KEY_SIZE
    return whole and about.st_uid == user and stat.S_IMODE(about.st_mode) == 0o600


def _put(path: Path, key: bytes) -> None:
    """Put a key there, on the disk before it has its name; the first of several processes wins."""
    fresh = path.with_name(f"key.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(key)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)
