"""`aerofn functions …`: the functions, their versions, and which of these runs."""

import asyncio
from typing import Annotated

import typer
from typer import Argument, Option

group = typer.Typer(help="List the functions, or their versions; change which version runs.")
DatabaseUrl = Annotated[str | None, Option(help="PostgreSQL; else DATABASE_URL", show_default=False)]
AsJson = Annotated[bool, Option("--json", help="JSON for programs")]
Name = Annotated[str, Argument(help="the function")]
Version = Annotated[int, Argument(min=1, max=(1 << 31) - 1, help="its number")]


@group.callback(invoke_without_command=True)
def functions(context: typer.Context, database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """List the functions."""
    from aerofn.cli import listings  # noqa: PLC0415

    if context.invoked_subcommand is None:
        asyncio.run(listings.functions(database_url, as_json=as_json))


@group.command()
def versions(name: Name, database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """List a function's versions, newest first."""
    from aerofn.cli import listings  # noqa: PLC0415

    asyncio.run(listings.versions(database_url, name, as_json=as_json))


@group.command()
def activate(name: Name, version: Version, database_url: DatabaseUrl = None) -> None:
    """Let another version run, on every node within a second: rollback."""
    _change("activate", database_url, name, version, done=f"{name} version {version} runs")


@group.command("drop-version")
def drop_version(name: Name, version: Version, database_url: DatabaseUrl = None) -> None:
    """Remove a version that does not run."""
    _change("drop_version", database_url, name, version, done=f"{name} version {version} is gone")


@group.command()
def drop(name: Name, database_url: DatabaseUrl = None) -> None:
    """Remove a function with all its versions; refused while triggers or events need it."""
    _change("drop", database_url, name, done=f"{name} is gone")


def _change(call: str, database_url: str | None, *arguments: str | int, done: str) -> None:
    from aerofn import sql  # noqa: PLC0415
    from aerofn.cli.registry import change  # noqa: PLC0415

    asyncio.run(change(database_url, getattr(sql.queries("functions"), call), *arguments, done=done))
