"""`aerofn events`, `event`, `replay`, `discard` and `backfill`: what waits, what failed, what becomes of it."""

import asyncio
from enum import StrEnum
from typing import Annotated

import typer
from typer import Argument, Option

from aerofn.cli.options import AsJson, DatabaseUrl, Limit, Token, Url

group = typer.Typer()
Event = Annotated[int, Argument(min=1, max=(1 << 63) - 1, help="its id")]


class EventState(StrEnum):
    """What an event can be; those that are done are there if they are kept."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    DEAD = "dead"
    CANCELLED = "cancelled"


@group.command()
def events(  # noqa: PLR0917  typer's options are the parameters
    state: Annotated[EventState | None, Option(help="only in this state", show_default=False)] = None,
    function: Annotated[str | None, Option(help="only for this one", show_default=False)] = None,
    trigger: Annotated[str | None, Option(help="only of this one", show_default=False)] = None,
    limit: Limit = 50,
    url: Url = None,
    token: Token = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """List events, newest first. They wait, run or were given up; those that are done are gone, unless kept."""
    from aerofn.cli import listings  # noqa: PLC0415
    from aerofn.cli.where import Where  # noqa: PLC0415

    where = Where(database_url, url, token)
    asyncio.run(
        listings.events(where, state=state, function=function, trigger=trigger, limit=limit, as_json=as_json)
    )


@group.command()
def event(
    event: Event,
    url: Url = None,
    token: Token = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Show an event.

    With what it brings its function, and the errors of all its attempts.
    """
    from aerofn.cli import deciding  # noqa: PLC0415
    from aerofn.cli.where import Where  # noqa: PLC0415

    asyncio.run(deciding.show(Where(database_url, url, token), event, as_json=as_json))


@group.command()
def replay(
    event: Annotated[int | None, Argument(min=1, max=(1 << 63) - 1, show_default=False)] = None,
    all_of: Annotated[str | None, Option(help="all dead events of this trigger", show_default=False)] = None,
    url: Url = None,
    token: Token = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Run a dead event again, or all of a trigger.

    A cancelled one, too, by its id.
    """
    from aerofn.cli import deciding  # noqa: PLC0415
    from aerofn.cli.where import Where  # noqa: PLC0415

    if (event is None) == (all_of is None):
        raise typer.BadParameter("name one event, or a trigger with --all-of")
    where = Where(database_url, url, token)
    if all_of is not None:
        number = asyncio.run(deciding.replay_all(where, all_of))
        deciding.say(f"{number} dead events of {all_of} will run again")
    elif event is not None:
        asyncio.run(deciding.decide(where, "replay", event))
        deciding.say(f"event {event} will run again")


@group.command()
def discard(event: Event, url: Url = None, token: Token = None, database_url: DatabaseUrl = None) -> None:
    """Give up a pending or dead event."""
    from aerofn.cli import deciding  # noqa: PLC0415
    from aerofn.cli.where import Where  # noqa: PLC0415

    asyncio.run(deciding.decide(Where(database_url, url, token), "discard", event))
    deciding.say(f"event {event} is given up")


@group.command()
def backfill(
    trigger: Annotated[str, Argument(help="a row trigger that runs for inserted rows")],
    where: Annotated[
        str | None, Option(help="SQL over its columns: only these rows", show_default=False)
    ] = None,
    chunk: Annotated[int, Option(min=1, max=100_000, help="rows of one transaction")] = 1000,
    database_url: DatabaseUrl = None,
) -> None:
    """Make events for rows that are there already.

    Broken off, it goes on where it was.
    """
    from aerofn.cli import deciding  # noqa: PLC0415

    number = asyncio.run(deciding.backfill(database_url, trigger, where, chunk))
    deciding.say(f"{number} rows of {trigger} have their events")
