"""One event looked at closely, and decisions: replay, discard, and events for rows that are there already."""

from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from aerofn import sql
from aerofn.cli.connection import connected
from aerofn.cli.output import BAD, GOOD, QUIET, cell, console, plain_table, print_json
from aerofn.cli.where import Http, Where, path
from aerofn.errors import NotFound

_Q = sql.queries("event_list")
_ABOUT = ("id", "function", "trigger", "source", "state", "attempt", "max_attempts", "role", "run_at", "created_at",
          "node", "operation", "dedup_key", "depth", "priority")  # fmt: skip
_BODY = ("record", "old_record", "payload", "claims")


async def show(where: Where, event: int, *, as_json: bool) -> None:
    """An event with what it brings its function and the errors of all its attempts.

    Raises:
        NotFound: there is none (any more).
    """
    row = await where.row(Http("GET", path("events", event)), _Q.one, event)
    if row is None:
        raise NotFound(f"there is no event {event}", hint="completed events are gone: aerofn invocations")
    if as_json:
        print_json(row)
        return
    out, table = console(), plain_table()
    table.show_header = False
    table.add_column(style=QUIET)
    table.add_column()
    for key in _ABOUT:
        if row[key] is not None:
            table.add_row(key.replace("_", " "), cell(row[key]))
    out.print(table)
    for key in _BODY:
        if row[key] is not None:
            out.print(key.replace("_", " "), style=QUIET)
            print_json(row[key])
    for error in row["errors"] or ():
        _print_attempt(error)


async def decide(where: Where, verb: str, event: int) -> None:
    """`replay` or `discard` an event.

    Raises:
        AeroFnError: there is no such event, or it is in another state.
    """
    await where.change(Http("POST", path("events", event, verb)), getattr(_Q, verb), event)


async def replay_all(where: Where, trigger: str) -> int:
    """Replay all dead events of a trigger; answers how many there were.

    Raises:
        AeroFnError: there is no such trigger.
    """
    http = Http("POST", path("triggers", trigger, "replay"))
    answer = await where.change(http, _Q.replay_all, trigger)
    return int(answer["replayed"] if isinstance(answer, dict) else answer)


async def backfill(database_url: str | None, trigger: str, condition: str | None, chunk: int) -> int:
    """Make events for the rows the trigger's table has, with a bar that shows how far it is; answers how many.

    Raises:
        AeroFnError: there is no such trigger, or the condition does not work. What was done stays done.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    async with connected(database_url) as db:
        with Progress(*columns, console=console(stderr=True), transient=True) as progress:
            bar = progress.add_task(f"backfilling {trigger}", total=None)
            finished = False
            while not finished:
                (row,) = await db.fetch(_Q.backfill_step, trigger, condition, chunk)
                finished = row["finished"]
                total = max(row["expected"], row["events"]) or None
                progress.update(bar, completed=row["events"], total=total)
        return int(row["events"])


def _print_attempt(error: dict[str, Any]) -> None:
    out = console()
    out.print(f"attempt {error.get('attempt')} at {error.get('at')}: {error.get('code')}", style=BAD)
    for key in ("message", "detail", "hint", "stack"):
        if error.get(key):
            out.print(f"  {error[key]}".replace("\n", "\n  "), soft_wrap=True)


def say(text: str) -> None:
    """What was done."""
    console().print(text, style=GOOD)
