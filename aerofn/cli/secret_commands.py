"""`aerofn secrets …`: the commands and their options. No value is ever an argument: others see those."""

import asyncio
import os
from typing import Annotated

import typer
from typer import Argument

from aerofn.cli.options import AsJson, DatabaseUrl, Token, Url

secrets = typer.Typer(help="Secrets of functions: set, listed by name, never shown.", no_args_is_help=True)
Name = Annotated[str, Argument(help="as in env => '{NAME}'")]


@secrets.command("set")
def set_secret(name: Name, url: Url = None, token: Token = None, database_url: DatabaseUrl = None) -> None:
    """Set a secret to what standard input holds; asks at a terminal."""
    from aerofn.cli import output  # noqa: PLC0415
    from aerofn.cli import secrets as work  # noqa: PLC0415
    from aerofn.cli.remote import Service  # noqa: PLC0415

    value = work.read_value(name)
    if url is not None and database_url is None:
        fingerprint = asyncio.run(Service(url, token).set_secret(name, value))
    else:
        fingerprint = asyncio.run(work.set_secret(database_url, name, value))
    output.console().print(f"secret {name} is set, fingerprint {fingerprint}", style=output.GOOD)


@secrets.command("list")
def list_secrets(
    url: Url = None, token: Token = None, database_url: DatabaseUrl = None, as_json: AsJson = False
) -> None:
    """List the secrets: names, fingerprints and dates."""
    from aerofn.cli import secrets as work  # noqa: PLC0415
    from aerofn.cli.where import Where  # noqa: PLC0415

    asyncio.run(work.list_secrets(Where(database_url, url, token), as_json=as_json))


@secrets.command()
def remove(name: Name, url: Url = None, token: Token = None, database_url: DatabaseUrl = None) -> None:
    """Remove a secret."""
    from aerofn.cli import output  # noqa: PLC0415
    from aerofn.cli import secrets as work  # noqa: PLC0415
    from aerofn.cli.where import Where  # noqa: PLC0415

    asyncio.run(work.remove(Where(database_url, url, token), name))
    output.console().print(f"secret {name} is removed", style=output.GOOD)


@secrets.command()
def seal(name: Name, database_url: DatabaseUrl = None) -> None:
    """Print what standard input holds, sealed.

    For aerofn.set_secret(name, sealed => …) in a script.
    """
    from aerofn.cli import secrets as work  # noqa: PLC0415

    print(asyncio.run(work.seal(database_url, name, work.read_value(name))))


@secrets.command()
def rotate(database_url: DatabaseUrl = None) -> None:
    """Seal all secrets anew with a new key pair. AEROFN_SECRET_KEY=new,old names both keys."""
    from aerofn.cli import output  # noqa: PLC0415
    from aerofn.cli import secrets as work  # noqa: PLC0415

    number = asyncio.run(work.rotate(database_url, os.environ.get("AEROFN_SECRET_KEY")))
    output.console().print(
        f"{number} secrets are sealed anew; the old key opens nothing here", style=output.GOOD
    )
