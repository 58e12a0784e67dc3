"""Asking before something goes for good."""

import sys

import typer

from aerofn.errors import SettingsError
from aerofn.unseen import named


def sure(question: str) -> None:
    """Go on only if the answer is yes.

    Raises:
        SettingsError: nobody is there who could answer.
        typer.Abort: the answer is no.
    """
    try:
        typer.confirm(named(question), abort=True, err=True)
    except typer.Abort:
        if sys.stdin.isatty():
            raise
        typer.echo(err=True)
        raise SettingsError("nothing was changed: nobody said yes", hint="say it in advance: --yes") from None
