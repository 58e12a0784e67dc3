"""`aerofn functions …`: the functions, their versions, and which of these runs."""

import asyncio
from typing import Annotated

import typer
from typer import Argument

from aerofn.cli.options import AsJson, Asked, DatabaseUrl, Given, Token, Url

group = typer.Typer(help="List the functions, or change which version runs.")
Name = Annotated[str, Argument(help="the function")]
Version = Annotated[int, Argument(min=1, max=(1 << 31) - 1, help="its number")]


@group.callback(invoke_without_command=True)
def functions(
    context: typer.Context,
    url: Url = None,
    token: Token = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """List the functions."""
    from aerofn.cli import listings  # noqa: PLC0415
    from aerofn.cli.where import Where  # noqa: PLC0415

    if context.invoked_subcommand is None:
        asyncio.run(listings.functions(Where(database_url, url, token), as_json=as_json))


@group.command()
def versions(
    name: Name,
    url: Url = None,
    token: Token = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """List a function's versions, newest first."""
    from aerofn.cli import listings  # noqa: PLC0415
    from aerofn.cli.where import Where  # noqa: PLC0415

    asyncio.run(listings.versions(Where(database_url, url, token), name, as_json=as_json))


@group.command()
def activate(
    name: Name, version: Version, url: Url = None, token: Token = None, database_url: DatabaseUrl = None
) -> None:
    """Let another version run: rollback.

    Every node runs it within a second.
    """
    http = ("POST", ("functions", name, "activate"), {"version": version})
    said = f"{name} version {version} runs"
    _change("activate", (database_url, url, token), http, name, version, done=said)


@group.command("drop-version")
def drop_version(
    name: Name, version: Version, url: Url = None, token: Token = None, database_url: DatabaseUrl = None
) -> None:
    """Remove a version that does not run."""
    http = ("DELETE", ("functions", name, "versions", version), None)
    said = f"{name} version {version} is gone"
    _change("drop_version", (database_url, url, token), http, name, version, done=said)


@group.command()
def drop(name: Name, url: Url = None, token: Token = None, database_url: DatabaseUrl = None) -> None:
    """Remove a function with all its versions.

    Refused while triggers or events need it.
    """
    http = ("DELETE", ("functions", name), None)
    _change("drop", (database_url, url, token), http, name, done=f"{name} is gone")


def _change(call: str, given: Given, http: Asked, *arguments: str | int, done: str) -> None:
    from aerofn import sql  # noqa: PLC0415
    from aerofn.cli.registry import change  # noqa: PLC0415

    asyncio.run(change(given, http, getattr(sql.queries("functions"), call), *arguments, done=done))
