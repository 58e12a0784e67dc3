"""The commands of `aerofn`, their options and their help; the work is in other modules, imported when needed."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from aerofn.cli import (
    event_commands,
    function_commands,
    project_commands,
    record_commands,
    trigger_commands,
)
from aerofn.cli.options import LOCAL, AsJson, DatabaseUrl, Token, Url
from aerofn.cli.output import OK
from aerofn.cli.secret_commands import secrets

app = typer.Typer(
    help="Functions for your Postgres.",
    epilog="Exit codes: 0 done, 1 failed, 2 wrong usage or settings, 130 ended by Ctrl-C. More: docs/cli.md.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"max_content_width": 120},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from aerofn import __version__  # noqa: PLC0415

        print(__version__)
        raise typer.Exit(OK)


@app.callback()
def every_command(
    version: Annotated[
        bool,
        Option("--version", help="Print AeroFn's version.", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    """What stands in front of any command."""


app.add_typer(project_commands.group)
app.add_typer(secrets, name="secrets")
logins = typer.Typer(help="AeroFn's own logins in the database.", no_args_is_help=True)
app.add_typer(logins, name="logins")
app.add_typer(function_commands.group, name="functions")
app.add_typer(trigger_commands.group, name="triggers")
app.add_typer(event_commands.group)
app.add_typer(record_commands.group)


@app.command()
def demo(
    once: Annotated[bool, Option("--once", help="end after the story; else it goes on serving")] = False,
    port: Annotated[
        int | None, Option(help="of the HTTP server; else 8787 or a free one", show_default=False)
    ] = None,
) -> None:
    """Show it all in a minute. It has a PostgreSQL of its own, below ./.aerofn/."""
    from aerofn.cli.demo import run  # noqa: PLC0415

    run(once=once, port=port)


@app.command()
def serve(  # noqa: PLR0917  typer's options are the parameters
    database_url: DatabaseUrl = None,
    host: Annotated[str | None, Option(help="else AEROFN_HOST or 127.0.0.1", show_default=False)] = None,
    port: Annotated[int | None, Option(help="else AEROFN_PORT or 8787", show_default=False)] = None,
    workers: Annotated[int, Option(min=1, max=256, help="nodes, each a process of its own, on one port")] = 1,
    listening: Annotated[int | None, Option(hidden=True)] = None,
    place: Annotated[str, Option(hidden=True)] = "1/1",
    siblings: Annotated[Path, Option(hidden=True)] = Path(),
) -> None:
    """Run a node: events, and HTTP. All settings are AEROFN_* variables (docs/settings.md)."""
    from aerofn.cli import serving  # noqa: PLC0415
    from aerofn.settings import from_env  # noqa: PLC0415

    settings = from_env(database_url=database_url, host=host, port=port)
    if listening is None:
        sys.exit(serving.serve(settings, workers))
    sys.exit(serving.worker(settings, listening, siblings, *map(int, place.split("/"))))


@app.command()
def migrate(
    database_url: DatabaseUrl = None,
    dry_run: Annotated[bool, Option("--dry-run", help="print the SQL, change nothing")] = False,
    harden: Annotated[
        bool | None,
        Option(help="take from PUBLIC what RLS does not survive (superusers)", show_default=False),
    ] = None,
) -> None:
    """Install the schema or update it."""
    from aerofn.cli import serving  # noqa: PLC0415
    from aerofn.settings import from_env  # noqa: PLC0415

    serving.migrate(from_env(database_url=database_url, harden=harden), dry_run=dry_run)


@app.command()
def uninstall(
    database_url: DatabaseUrl = None,
    dry_run: Annotated[bool, Option("--dry-run", help="tell what would go, change nothing")] = False,
    yes: Annotated[bool, Option("--yes", "-y", help="do not ask")] = False,
) -> None:
    """Take AeroFn out of the database.

    All functions, events and records go, and every grant is given back.
    """
    from aerofn.cli import installing  # noqa: PLC0415

    asyncio.run(installing.uninstall(database_url, dry_run=dry_run, ask=not yes))


@logins.command("rotate")
def rotate_logins(database_url: DatabaseUrl = None) -> None:
    """Give every login a new password. Nodes that run fetch it when they connect next; nothing is interrupted."""
    from aerofn.cli import installing  # noqa: PLC0415

    asyncio.run(installing.rotate(database_url))


@app.command()
def doctor(database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """Check what row-level security rests on. Exit code 1 when a promise does not hold in this database."""
    from aerofn.cli.doctor import doctor as run  # noqa: PLC0415
    from aerofn.settings import from_env  # noqa: PLC0415

    sys.exit(run(from_env(database_url=database_url), sys.stdout, json=as_json))


@app.command()
def deploy(  # noqa: PLR0917  typer's options are the parameters
    name: Annotated[str, Argument(help="the function")],
    component: Annotated[Path, Argument(help="its .wasm file")],
    url: Url = None,
    token: Token = None,
    database_url: DatabaseUrl = None,
    timeout_ms: Annotated[int | None, Option(help="else AEROFN_TIMEOUT_MS", show_default=False)] = None,
    memory_mb: Annotated[int | None, Option(help="else AEROFN_MEMORY_MB", show_default=False)] = None,
    max_concurrency: Annotated[
        int | None, Option(help="events of it that run at once, on all nodes", show_default=False)
    ] = None,
    env: Annotated[
        list[str] | None, Option(help="a key or secret it may read; repeatable", show_default=False)
    ] = None,
    host: Annotated[
        list[str] | None, Option(help="what it may fetch from; repeatable", show_default=False)
    ] = None,
    role: Annotated[
        list[str] | None, Option(help="who may invoke it; repeatable", show_default=False)
    ] = None,
    run_as: Annotated[str | None, Option(help="whom it acts as; else its caller", show_default=False)] = None,
    rate_limit: Annotated[
        str | None, Option(help="HTTP invocations of each caller, such as 100/minute", show_default=False)
    ] = None,
    activate: Annotated[bool, Option(help="let it run once it is compiled")] = True,
    wait: Annotated[float, Option(min=0, help="seconds for compiling, without a URL")] = 60.0,
    as_json: AsJson = False,
) -> None:
    """Make a new version of a function. Over HTTP with --url, else by SQL; waits until it is compiled."""
    from aerofn.cli import deploying, output  # noqa: PLC0415
    from aerofn.cli.remote import Service  # noqa: PLC0415

    options = deploying.Options(
        timeout_ms=timeout_ms, memory_mb=memory_mb, env=tuple(env or ()), hosts=tuple(host or ()),
        roles=tuple(role or ()),
        run_as=run_as, activate=activate, max_concurrency=max_concurrency, rate_limit=rate_limit,
    )  # fmt: skip
    wasm = deploying.component(component)
    if url is not None and database_url is None:
        made = asyncio.run(deploying.over_http(Service(url, token), name, wasm, options))
    else:
        made = asyncio.run(deploying.through_database(database_url, name, wasm, options, wait))
    if as_json:
        output.print_json(made)
    else:
        output.console().print(f"{name} version {made['version']} is {made['status']}", style=output.GOOD)


@app.command()
def invoke(
    name: Annotated[str, Argument(help="the function")],
    data: Annotated[str, Option("--data", "-d", help="the body, JSON")] = "null",
    url: Annotated[str, Option(envvar="AEROFN_URL", help="of the service")] = LOCAL,
    token: Annotated[
        str | None, Option(envvar="AEROFN_TOKEN", help="a JWT; without it, as anon", show_default=False)
    ] = None,
) -> None:
    """Invoke a function over HTTP. Prints its answer as JSON; exit code 1 unless it succeeded."""
    from aerofn.cli import output  # noqa: PLC0415
    from aerofn.cli.remote import Service  # noqa: PLC0415

    output.print_json(asyncio.run(Service(url, token).invoke(name, data.encode())))


@app.command()
def token(
    role: Annotated[str, Option(help="an exposed role")] = "authenticated",
    sub: Annotated[str | None, Option(help="the user's id", show_default=False)] = None,
    expires: Annotated[str, Option(help="from now: 15m, 1h, 30d")] = "1h",
) -> None:
    """Print a JWT for development. It is signed with AEROFN_JWT_SECRET."""
    from aerofn.cli import tokens  # noqa: PLC0415

    print(tokens.token(os.environ, role, sub, expires))


@app.command()
def version() -> None:
    """Print AeroFn's version, as --version does."""
    _print_version(True)
