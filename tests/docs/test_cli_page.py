"""docs/cli.md: every command is there; what it and docs/troubleshooting.md name exists."""

import re
import shlex

import pytest
import typer

from aerofn.cli.commands import app

from .blocks import blocks
from .reader import ROOT

PAGE, TROUBLE = (ROOT / "docs" / name for name in ("cli.md", "troubleshooting.md"))


def command_of(words):
    """The command that words after `aerofn` name, and the words that are left."""
    command = typer.main.get_command(app)
    while words and getattr(command, "commands", {}).get(words[0]) is not None:
        command, words = command.commands[words[0]], words[1:]
    return command, words


def test_every_command_is_described():
    text = PAGE.read_text(encoding="utf-8")
    for name, command in typer.main.get_command(app).commands.items():
        assert f"`aerofn {name}" in text, name
        for below in getattr(command, "commands", {}):
            assert re.search(rf"`(aerofn {name} )?{below}`", text), f"{name} {below}"


@pytest.mark.parametrize("page", [PAGE, TROUBLE], ids=lambda page: page.stem)
def test_what_is_described_exists(page):
    named = re.findall(r"`aerofn ([a-z][^`]*)`", page.read_text(encoding="utf-8"))
    lines = [line.removeprefix("aerofn ") for block in blocks(page) for line in block.text.splitlines()]
    for words in map(shlex.split, [*named, *lines]):
        command, left = command_of(words)
        assert command.name == words[len(words) - len(left) - 1], words
        options = {name for parameter in command.params for name in parameter.opts}
        assert {word for word in left if word.startswith("-")} <= options, words
