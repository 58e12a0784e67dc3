"""`aerofn invocations` and `aerofn logs`: what ran."""

import asyncio
from typing import Annotated

import typer
from typer import Option

from aerofn.cli.options import AsJson, DatabaseUrl, Limit, Token, Url
from aerofn.model import Status

group = typer.Typer()
Function = Annotated[str | None, Option(help="only of this one", show_default=False)]
WithStatus = Annotated[
    Status | None,
    Option(
        metavar="outcome", help="only with this one: success, failed, or how it failed", show_default=False
    ),
]


@group.command()
def invocations(  # noqa: PLR0917  typer's options are the parameters
    function: Function = None,
    status: WithStatus = None,
    limit: Limit = 20,
    url: Url = None,
    token: Token = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """List what ran, newest first."""
    from aerofn.cli import listings  # noqa: PLC0415
    from aerofn.cli.where import Where  # noqa: PLC0415

    where = Where(database_url, url, token)
    asyncio.run(listings.invocations(where, function=function, status=status, limit=limit, as_json=as_json))


@group.command()
def logs(  # noqa: PLR0917  typer's options are the parameters
    follow: Annotated[bool, Option("--follow", "-f", help="go on with what comes, until Ctrl-C")] = False,
    function: Function = None,
    status: WithStatus = None,
    since: Annotated[
        str | None, Option(help="90s, 15m, 2h or 1d ago, or a time in ISO 8601", show_default=False)
    ] = None,
    limit: Limit = 20,
    url: Url = None,
    token: Token = None,
    database_url: DatabaseUrl = None,
    as_json: Annotated[bool, Option("--json", help="one JSON object a line")] = False,
) -> None:
    """Print what functions logged and how they ended.

    The newest is at the end.
    """
    from aerofn.cli import logs as work  # noqa: PLC0415
    from aerofn.cli.where import Where  # noqa: PLC0415

    where, wanted = Where(database_url, url, token), work.Wanted(function, status)
    asyncio.run(work.show(where, wanted, since=since, limit=limit, follow=follow, as_json=as_json))
