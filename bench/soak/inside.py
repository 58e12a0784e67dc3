"""What nodes run in, where the system lets us: a small file system for a cache, a name server of the soak's own."""

import asyncio
import contextlib
import os
import shlex
from pathlib import Path

from bench.soak.far_side import NAME_SERVER

CACHE_MB = 96


async def possible() -> bool:
    """Whether file systems can be mounted in a namespace of one's own."""
    return os.geteuid() == 0 and await _succeeds(*_inside("mount -t tmpfs -o size=1m tmpfs /mnt && true"))


def small_disk(cache: Path) -> str:
    """The shell's words that put a small file system over a cache."""
    return f"mount -t tmpfs -o size={CACHE_MB}m,mode=0700 tmpfs {shlex.quote(str(cache))}"


def own_names(place: Path) -> str:
    """The shell's words that have names looked up at the soak's name server."""
    config = place / "resolv.conf"
    config.write_text(f"nameserver {NAME_SERVER}\noptions timeout:10 attempts:1\n")
    return f"mount --bind {shlex.quote(str(config))} /etc/resolv.conf"


async def namespace(stack: contextlib.AsyncExitStack, *mounts: str) -> tuple[str, ...]:
    """What to put in front of a command that is to see these mounts, which last as long as `stack`."""
    if not mounts:
        return ()
    script = " && ".join((*mounts, "echo there", "exec sleep infinity"))
    holder = await asyncio.create_subprocess_exec(*_inside(script), stdout=asyncio.subprocess.PIPE)
    stack.callback(holder.kill)
    assert holder.stdout is not None
    if await holder.stdout.readline() != b"there\n":
        raise OSError(f"this cannot be mounted: {mounts}")
    return ("nsenter", f"--mount=/proc/{holder.pid}/ns/mnt", "--")


def _inside(script: str) -> tuple[str, ...]:
    return ("unshare", "--mount", "sh", "-c", script)


async def _succeeds(*words: str) -> bool:
    try:
        child = await asyncio.create_subprocess_exec(
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError:
        return False
    return await child.wait() == 0
