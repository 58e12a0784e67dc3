"""`aerofn serve` and `aerofn migrate`."""

import asyncio
import socket
import sys
from pathlib import Path

import structlog
import uvloop

from aerofn import app
from aerofn.cli.output import QUIET, console
from aerofn.db import migrate as migration
from aerofn.db import pool
from aerofn.observe import configure_logging
from aerofn.settings import Settings

log = structlog.get_logger(__name__)


def serve(settings: Settings, workers: int = 1) -> int:
    """Run a node until it is told to stop, or several as processes of their own; the exit code.

    Raises:
        AeroFnError: it could not start.
    """
    configure_logging(settings.log_level)
    if workers > 1:
        return asyncio.run(app.serve_with_workers(settings, workers))
    return uvloop.run(app.serve(settings, app.listen(settings), _ready))


def worker(settings: Settings, descriptor: int, siblings: Path, place: int, number: int) -> int:
    """Run a node on the listening socket of `serve` with several workers, which started this process."""
    configure_logging(settings.log_level)
    listening = socket.socket(fileno=descriptor)
    among = app.Place(siblings, place, number)
    return uvloop.run(app.serve(settings, listening, _ready, app.parent_gone(), among))


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
            script = await migration.dry_run(connection, settings)
            sys.stdout.write(script)
            if not script:
                console(stderr=True).print("nothing to do", style=QUIET)
            return
        report = await migration.migrate(connection, settings)
    finally:
        await connection.close(timeout=5)
    for line in _told(report) or ["nothing to do"]:
        console().print(line)


def _told(report: migration.Report) -> list[str]:
    done = [] if report.newer is None else [f"left alone: {report.newer}"]
    done += [f"applied {name}" for name in report.applied]
    if report.api_refreshed:
        done.append("the functions and views of schema aerofn are up to date")
    if report.roles_made:
        done.append("the exposed roles have their logins and executors")
    if report.hardened:
        done.append("the database is hardened (docs/security.md)")
    return done


def _ready(url: str) -> None:
    log.info("AeroFn serves", url=url)
