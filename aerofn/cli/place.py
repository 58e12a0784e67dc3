"""Where the demo and `aerofn dev` live: an embedded PostgreSQL, a database, a file that other terminals source."""

import contextlib
import os
import secrets
import shlex
import shutil
import socket
import sys
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from aerofn import sql
from aerofn.cli.connection import connected
from aerofn.cli.tokens import token
from aerofn.db.embedded import EmbeddedPostgres
from aerofn.errors import SettingsError
from aerofn.settings import Settings, from_env

PORT = 8787
_PRIVATE = 0o600


class Place:
    """The directory `.aerofn`: PostgreSQL's data, compiled components, the JWT secret and the file `env`.

    Args:
        name: of the database, and of the server's folder below the directory.
        port: for HTTP, 0 for a free one. By default 8787, or a free one where that is taken.
    """

    def __init__(self, directory: Path, name: str, port: int | None) -> None:
        self.directory = directory
        self.name = name
        self.port = _http_port(port)
        self.postgres = EmbeddedPostgres(directory / name)
        self._postgres_port: int | None = None

    def __enter__(self) -> "Place":
        self.postgres.start()
        self._postgres_port = self.postgres.port
        return self

    def __exit__(self, *_: object) -> None:
        self.postgres.stop()

    @property
    def server_url(self) -> str:
        """The database that is always there."""
        return self.postgres.url

    @property
    def url(self) -> str:
        """The database of this place."""
        return urlunsplit(urlsplit(self.postgres.url)._replace(path=f"/{self.name}"))

    @property
    def in_use(self) -> bool:
        """Whether PostgreSQL still runs: another process may use it as well."""
        return self._postgres_port is not None and not _free(self._postgres_port)

    @property
    def environment(self) -> Path:
        """The file to source."""
        return self.directory / "env"

    def settings(self) -> Settings:
        """The node's settings; the environment's are left out, so that it is the same everywhere."""
        return from_env(
            {},
            database_url=self.url,
            port=self.port,
            jwt_secret=self._secret("jwt-secret"),
            secret_key=self._secret("secret-key"),
            cache_dir=self.directory.absolute() / "cache",
            records_to_stdout=False,
            log_level="warning",
            shutdown_grace_s=3.0,
        )

    async def make_database(self) -> None:
        """Create the database of this place, unless it is there."""
        async with connected(self.server_url) as server:
            if not await server.fetchval(sql.queries("cli").has_database, self.name):
                await server.execute(sql.queries("cli").create_database.format(name=self.name))

    def write_environment(self, settings: Settings, http_url: str) -> None:
        """Let other terminals find the database, the service and the command line: `. .aerofn/env`."""
        secret = {"AEROFN_JWT_SECRET": settings.jwt_secret or ""}
        values = {
            "DATABASE_URL": self.url,
            "AEROFN_URL": http_url,
            **secret,
            "AEROFN_TOKEN": token(secret, "service_role", None, "30d"),
        }
        lines = [f"export {name}={shlex.quote(value)}" for name, value in values.items()]
        _write_private(
            self.environment, "\n".join([*lines, *_programs(shlex.split(self.postgres.psql)[0]), ""])
        )

    def _secret(self, name: str) -> str:
        # Kept from run to run, so that tokens of the last one are still good.
        file = self.directory / name
        if not file.exists():
            _write_private(file, secrets.token_hex(32))
        return file.read_text(encoding="ascii")


def _programs(psql: str) -> list[str]:
    """Lines that make `aerofn` and `psql` callable where they are not."""
    here = Path(sys.executable).parent
    if (here / "aerofn").exists():
        lines = [f"export PATH={shlex.quote(str(here))}:$PATH"]
    else:
        lines = [f'aerofn() {{ {shlex.quote(sys.executable)} -m aerofn "$@"; }}']
    if shutil.which("psql") is None:
        lines.append(f'psql() {{ {shlex.quote(psql)} "$@"; }}')
    return lines


def _write_private(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        file.unlink()
    fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE)
    with os.fdopen(fd, "w", encoding="utf-8") as out:
        out.write(text)


def _http_port(wanted: int | None) -> int:
    if wanted is None:
        return PORT if _free(PORT) else 0
    if wanted and not _free(wanted):
        raise SettingsError(f"port {wanted} is taken", hint="choose another with --port, or 0 for a free one")
    return wanted


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
