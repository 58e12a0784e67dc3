"""Changes to the registry that are one call of schema `aerofn`, what is said then, and schedules' next times."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from aerofn import sql
from aerofn.cli.options import Asked, Given
from aerofn.cli.output import GOOD, console
from aerofn.cli.where import Http, Where, path
from aerofn.dispatch.cron import cron
from aerofn.errors import NotFound


async def change(given: Given, asked: Asked, statement: str, *arguments: Any, done: str) -> None:
    """Make the call; `done` is said then, with `{}` for the name of what it made.

    Raises:
        AeroFnError: why it cannot be.
    """
    method, parts, body = asked
    answer = await Where(*given).change(Http(method, path(*parts), {}, body), statement, *arguments)
    name = answer["name"] if isinstance(answer, dict) else answer
    console().print(done.format(name), style=GOOD)


async def next_times(where: Where, name: str, count: int) -> list[datetime]:
    """A schedule's next times, as clocks of its zone show them; a service tells five at the most.

    Raises:
        NotFound: there is no schedule of that name.
        AeroFnError: it cannot run; says why.
    """
    row = await where.row(Http("GET", path("triggers", name)), sql.queries("triggers").times, name)
    if row is None or row.get("timezone") is None:
        raise NotFound(f"there is no schedule {name!r}", hint="aerofn triggers lists them")
    zone = ZoneInfo(row["timezone"])
    if "fields" in row:
        times = cron(row["fields"], row["either_day"], row["timezone"]).upcoming(datetime.now(UTC), count)
    else:
        times = [datetime.fromisoformat(at) for at in row.get("next", [])][:count]
    return [at.astimezone(zone) for at in times]
