"""`aerofn triggers …`: what starts functions; making schedules and webhooks, pausing and removing triggers."""

import asyncio
import json
from enum import StrEnum
from typing import Annotated, Any

import typer
from typer import Argument, Option

from aerofn.cli.options import AsJson, Asked, DatabaseUrl, Given, Token, Url

group = typer.Typer(help="List the triggers, or make, pause and drop them.")
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
def triggers(
    context: typer.Context,
    url: Url = None,
    token: Token = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """List the triggers."""
    from aerofn.cli import listings  # noqa: PLC0415
    from aerofn.cli.where import Where  # noqa: PLC0415

    if context.invoked_subcommand is None:
        asyncio.run(listings.triggers(Where(database_url, url, token), as_json=as_json))


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
    url: Url = None,
    token: Token = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Run a function by the clock."""
    options = {
        "function": function, "cron": cron, "timezone": timezone, "name": name, "missed": missed.value,
        "payload": payload, "run_as": run_as, "max_attempts": max_attempts,
    }  # fmt: skip
    _create("schedule", (database_url, url, token), options, done="{} is made")


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
    url: Url = None,
    token: Token = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Run a function for the signed deliveries of another service."""
    options = {
        "function": function, "scheme": scheme.value, "secrets": secret, "name": name, "header": header,
        "encoding": encoding, "prefix": prefix, "id_from": id_from, "tolerance_s": tolerance_s, "max_kb": max_kb,
        "run_as": run_as, "max_attempts": max_attempts,
    }  # fmt: skip
    _create("webhook", (database_url, url, token), options, done="{0} is made: it receives at /hooks/v1/{0}")


@group.command("next")
def next_times(
    name: Annotated[str, Argument(help="the schedule")],
    count: Annotated[int, Option(min=1, max=1000, help="how many; with a URL five at the most")] = 5,
    url: Url = None,
    token: Token = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Print a schedule's next times, in its time zone."""
    from aerofn.cli.registry import next_times as find  # noqa: PLC0415
    from aerofn.cli.where import Where  # noqa: PLC0415

    for at in asyncio.run(find(Where(database_url, url, token), name, count)):
        print(at.isoformat())


@group.command()
def enable(name: Name, url: Url = None, token: Token = None, database_url: DatabaseUrl = None) -> None:
    """Resume a trigger.

    What a schedule would have run meanwhile is not made up for.
    """
    http = ("POST", ("triggers", name, "enable"), None)
    _change("enable", (database_url, url, token), http, name, done=f"{name} is enabled")


@group.command()
def disable(name: Name, url: Url = None, token: Token = None, database_url: DatabaseUrl = None) -> None:
    """Pause a trigger, on every node at once."""
    http = ("POST", ("triggers", name, "disable"), None)
    _change("disable", (database_url, url, token), http, name, done=f"{name} is disabled")


@group.command()
def drop(name: Name, url: Url = None, token: Token = None, database_url: DatabaseUrl = None) -> None:
    """Remove a trigger; events it has made still run."""
    http = ("DELETE", ("triggers", name), None)
    _change("drop", (database_url, url, token), http, name, done=f"{name} is gone")


def _create(kind: str, given: Given, options: dict[str, Any], done: str) -> None:
    """Make a trigger; `options` are in the order of the SQL function's arguments."""
    body = {"kind": kind, **{name: value for name, value in options.items() if value is not None}}
    if "payload" in body:
        body["payload"] = _json_of(body["payload"])
    _change(f"create_{kind}", given, ("POST", ("triggers",), body), *options.values(), done=done)


def _json_of(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"it is no JSON: {error}", param_hint="--payload") from None


def _change(call: str, given: Given, http: Asked, *arguments: Any, done: str) -> None:
    from aerofn import sql  # noqa: PLC0415
    from aerofn.cli.registry import change  # noqa: PLC0415

    asyncio.run(change(given, http, getattr(sql.queries("triggers"), call), *arguments, done=done))
