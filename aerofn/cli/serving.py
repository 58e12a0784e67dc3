"""`aerofn serve` and `aerofn migrate`."""

import asyncio
import socket
import sys

import structlog
import uvloop

from aerofn import app
from aerofn.cli.output import console
from aerofn.db import migrate as migration
from aerofn.db import pool
from aerofn.errors import SettingsError
from aerofn.observe import configure_logging
from aerofn.settings import Settings

log = structlog.get_logger(__name__)


def serve(settings: Settings) -> int:
    """Run a node until it is told to stop; the exit code.

    Raises:
        AeroFnError: it could not start.
    """
    configure_logging(settings.log_level)
    _check_address(settings)
    return uvloop.run(app.serve(settings, _ready))


def migrate(settings: Settings, *, dry_run: bool) -> None:
    """Bring the schema up to date, or only write to standard output what that would run.

    Raises:
        MigrationError: nothing was changed; says why.
    """
    configure_logging(settings.log_level)
    asyncio.run(_migrate(settings, dry_run))


async def _migrate(settings: Settings, dry_run: bool) -> None:
    connection = await pool.connect(settings)
    try:
        if dry_run:
            sys.stdout.write(await migration.dry_run(connection, settings))
            return
        report = await migration.migrate(connection, settings)
    finally:
        await connection.close(timeout=5)
    out = console()
    if report.newer is not None:
        out.print(f"left alone: {report.newer}")
    for name in report.applied:
        out.print(f"applied {name}")
    if report.api_refreshed:
        out.print("the functions and views of schema aerofn are up to date")
    elif not report.applied and report.newer is None:
        out.print("nothing to do")


def _ready(url: str) -> None:
    log.info("AeroFn serves", url=url)


def _check_address(settings: Settings) -> None:
    """uvicorn would say it as a log line, and exit without more."""
    with socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise SettingsError(
                f"cannot listen on {settings.host}:{settings.port}: {error.strerror or error}",
                hint="choose another with --host and --port, or AEROFN_HOST and AEROFN_PORT",
            ) from None
