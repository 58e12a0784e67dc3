"""docs/cli.md: every command is there, and what is there exists."""

import re
import shlex

import typer

from aerofn.cli.commands import app

from .blocks import blocks
from .reader import ROOT

PAGE = ROOT / "docs" / "cli.md"


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


def test_what_is_described_exists():
    named = re.findall(r"`aerofn ([a-z][^`]*)`", PAGE.read_text(encoding="utf-8"))
    lines = [line.removeprefix("aerofn ") for block in blocks(PAGE) for line in block.text.splitlines()]
    for words in map(shlex.split, [*named, *lines]):
        command, left = command_of(words)
        assert command.name == words[len(words) - len(left) - 1], words
        options = {name for parameter in command.params for name in parameter.opts}
        assert {word for word in left if word.startswith("-")} <= options, words
