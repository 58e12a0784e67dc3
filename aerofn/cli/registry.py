"""Changes to the registry that are one call of schema `aerofn`, what is said then, and schedules' next times."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from aerofn import sql
from aerofn.cli.connection import connected
from aerofn.cli.output import GOOD, console
from aerofn.dispatch.cron import cron
from aerofn.errors import NotFound


async def change(database_url: str | None, statement: str, *arguments: Any, done: str) -> None:
    """Make the call; `done` is said then, with `{}` for what it returned.

    Raises:
        AeroFnError: why it cannot be.
    """
    async with connected(database_url) as db:
        answer = await db.fetchval(statement, *arguments)
    console().print(done.format(answer), style=GOOD)


async def next_times(database_url: str | None, name: str, count: int) -> list[datetime]:
    """A schedule's next times, as clocks of its zone show them.

    Raises:
        NotFound: there is no schedule of that name.
        AeroFnError: it cannot run; says why.
    """
    async with connected(database_url) as db:
        row = await db.fetchrow(sql.queries("triggers").times, name)
    if row is None:
        raise NotFound(f"there is no schedule {name!r}", hint="aerofn triggers lists them")
    times, zone = cron(row["fields"], row["either_day"], row["timezone"]), ZoneInfo(row["timezone"])
    return [at.astimezone(zone) for at in times.upcoming(datetime.now(UTC), count)]
