"""`aerofn triggers …`: what starts functions; making schedules and webhooks, pausing and removing triggers."""

import asyncio
from enum import StrEnum
from typing import Annotated, Any

import typer
from typer import Argument, Option

group = typer.Typer(help="List the triggers; make schedules and webhooks; enable, disable and drop.")
DatabaseUrl = Annotated[str | None, Option(help="PostgreSQL; else DATABASE_URL", show_default=False)]
AsJson = Annotated[bool, Option("--json", help="JSON for programs")]
Name = Annotated[str, Argument(help="the trigger")]
Function = Annotated[str, Argument(help="the function it starts")]
NewName = Annotated[str | None, Option(help="of the trigger; else after the function", show_default=False)]
RunAs = Annotated[str | None, Option(help="an exposed role; else the least privileged", show_default=False)]
Attempts = Annotated[int, Option(min=1, max=100, help="before an event is dead")]


class Missed(StrEnum):
    """What becomes of ticks that were due while no node ran."""

    SKIP = "skip"
    ONCE = "once"


class SchemeName(StrEnum):
    """How a sender signs."""

    STANDARD = "standard"
    STRIPE = "stripe"
    GITHUB = "github"
    SLACK = "slack"
    HMAC = "hmac"


@group.callback(invoke_without_command=True)
def triggers(context: typer.Context, database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """List the triggers."""
    from aerofn.cli import listings  # noqa: PLC0415

    if context.invoked_subcommand is None:
        asyncio.run(listings.triggers(database_url, as_json=as_json))


@group.command()
def schedule(  # noqa: PLR0917  typer's options are the parameters
    function: Function,
    cron: Annotated[str, Argument(help="like '30 8 * * mon-fri' or @daily")],
    timezone: Annotated[str, Option(help="like Europe/Berlin")] = "UTC",
    name: NewName = None,
    missed: Annotated[
        Missed, Option(help="what was due while no node ran: nothing, or one event")
    ] = Missed.SKIP,
    payload: Annotated[str | None, Option(help="JSON for the function", show_default=False)] = None,
    run_as: RunAs = None,
    max_attempts: Attempts = 5,
    database_url: DatabaseUrl = None,
) -> None:
    """Run a function by the clock."""
    given = (function, cron, timezone, name, missed.value, payload, run_as, max_attempts)
    _change("create_schedule", database_url, *given, done="{} is made")


@group.command()
def webhook(  # noqa: PLR0917  typer's options are the parameters
    function: Function,
    scheme: Annotated[SchemeName, Argument(help="how the sender signs")],
    secret: Annotated[list[str], Option(help="the name of a secret; repeatable")],
    name: NewName = None,
    header: Annotated[
        str | None, Option(help="hmac: the header with the signature", show_default=False)
    ] = None,
    encoding: Annotated[str | None, Option(help="hmac: hex or base64", show_default=False)] = None,
    prefix: Annotated[
        str | None, Option(help="hmac: before the signature, like sha256=", show_default=False)
    ] = None,
    id_from: Annotated[
        str | None, Option(help="hmac: the delivery's id: a header, or $.id in the body", show_default=False)
    ] = None,
    tolerance_s: Annotated[int, Option(min=1, max=86_400, help="seconds a signed time may be off")] = 300,
    max_kb: Annotated[int, Option(min=1, max=25_600, help="largest body in KiB")] = 1024,
    run_as: RunAs = None,
    max_attempts: Attempts = 5,
    database_url: DatabaseUrl = None,
) -> None:
    """Run a function for the signed deliveries of another service."""
    given = (
        function, scheme.value, secret, name, header, encoding, prefix, id_from, tolerance_s, max_kb, run_as,
        max_attempts,
    )  # fmt: skip
    _change("create_webhook", database_url, *given, done="{0} is made: it receives at /hooks/v1/{0}")


@group.command("next")
def next_times(
    name: Annotated[str, Argument(help="the schedule")],
    count: Annotated[int, Option(min=1, max=1000, help="how many")] = 5,
    database_url: DatabaseUrl = None,
) -> None:
    """Print a schedule's next times, in its time zone."""
    from aerofn.cli.registry import next_times as find  # noqa: PLC0415

    for at in asyncio.run(find(database_url, name, count)):
        print(at.isoformat())


@group.command()
def enable(name: Name, database_url: DatabaseUrl = None) -> None:
    """Resume a trigger; what a schedule would have run meanwhile is not made up for."""
    _change("enable", database_url, name, done=f"{name} is enabled")


@group.command()
def disable(name: Name, database_url: DatabaseUrl = None) -> None:
    """Pause a trigger, on every node at once."""
    _change("disable", database_url, name, done=f"{name} is disabled")


@group.command()
def drop(name: Name, database_url: DatabaseUrl = None) -> None:
    """Remove a trigger; events it has made still run."""
    _change("drop", database_url, name, done=f"{name} is gone")


def _change(call: str, database_url: str | None, *arguments: Any, done: str) -> None:
    from aerofn import sql  # noqa: PLC0415
    from aerofn.cli.registry import change  # noqa: PLC0415

    asyncio.run(change(database_url, getattr(sql.queries("triggers"), call), *arguments, done=done))
