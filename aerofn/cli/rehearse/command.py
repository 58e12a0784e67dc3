"""`aerofn rehearse`: the last real events, run by another version in transactions that are rolled back."""

import asyncio
from pathlib import Path

from rich.progress import track

from aerofn.cli.connection import connected
from aerofn.cli.output import FAILED, OK, console, print_json
from aerofn.cli.rehearse import show
from aerofn.cli.rehearse.compare import differences
from aerofn.cli.rehearse.rehearsal import Asked, Candidate, asked, candidate, rehearse
from aerofn.cli.rehearse.show import Compared
from aerofn.testing.workbench import Workbench, workbench


def run(database_url: str | None, function: str, version: int, last: int, *, as_json: bool) -> int:
    """Rehearse; the exit code: 1 when an event goes otherwise than with the active version.

    Raises:
        AeroFnError: there is no such version, no events were kept, or the database's user is no superuser.
    """
    return asyncio.run(_run(database_url, function, version, last, as_json=as_json))


async def _run(database_url: str | None, function: str, version: int, last: int, *, as_json: bool) -> int:
    async with connected(database_url) as db, workbench(Path(), database_url) as bench:
        active = await candidate(db, bench, function, None)
        other = await candidate(db, bench, function, version)
        events = await asked(db, function, last)
        out = console(stderr=True)
        compared = [
            await _compare(bench, active, other, event)
            for event in track(events, "rehearsing", console=out, transient=True, disable=not out.is_terminal)
        ]
    if as_json:
        print_json(compared)
    else:
        show.report(function, (active, other), compared)
    return FAILED if any(one.differences for one in compared) else OK


async def _compare(bench: Workbench, active: Candidate, other: Candidate, event: Asked) -> Compared:
    first, second = await rehearse(bench, active, event), await rehearse(bench, active, event)
    tried = await rehearse(bench, other, event)
    return Compared(
        event=str(event.event["id"]),
        active=first,
        candidate=tried,
        differences=differences((first, second), tried),
    )
