"""What the command line says: tables for people, JSON for programs, errors as message, detail and hint."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from aerofn.errors import AeroFnError, SettingsError
from aerofn.unseen import escaped, named

OK, FAILED, USAGE = 0, 1, 2
GOOD, BAD, WAITING, QUIET = "green", "red", "yellow", "bright_black"
STYLES = {
    "success": GOOD, "ready": GOOD, "running": GOOD, "pending": WAITING, "compiling": WAITING,
    "cancelled": QUIET, "dead": BAD, "failed": BAD,
}  # fmt: skip
_WIDTH_OF_FILES = 160  # a table in a pipe or a file is not cut at a terminal's 80 columns

_NUMBERS = (int, float, type(None))  # and not bool

Row = Mapping[str, Any]


class _Console(Console):
    """Whatever is printed on it: a function's name, log or error moves no cursor and colours nothing."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=named(segment.text))


def console(*, stderr: bool = False) -> Console:
    """For one of the standard streams: colours at a terminal only, values never taken for markup."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _WIDTH_OF_FILES
    return _Console(stderr=stderr, highlight=False, markup=False, emoji=False, width=width)


def exit_code(error: AeroFnError) -> int:
    """2 for what the user typed or set, 1 for what went wrong."""
    return USAGE if isinstance(error, SettingsError) else FAILED


def print_error(error: AeroFnError, out: Console | None = None) -> None:
    """Message, detail and hint, each on lines of its own."""
    out = out or console(stderr=True)
    out.print(Text.assemble(("error: ", f"bold {BAD}"), error.message), soft_wrap=True)
    if error.detail:
        out.print(Text(f"  {error.detail.strip()}".replace("\n", "\n  "), QUIET), soft_wrap=True)
    if error.hint:
        out.print(Text.assemble(("  hint: ", WAITING), error.hint), soft_wrap=True)


def print_json(value: Any, *, indent: int = 2) -> None:
    """One JSON document on standard output; on one line with `indent` -1."""
    encoded = msgspec.json.encode(value, enc_hook=str)
    sys.stdout.write(escaped(msgspec.json.format(encoded, indent=indent).decode()) + "\n")


def print_rows(rows: Sequence[Row], columns: Mapping[str, str], *, as_json: bool, nothing: str) -> None:
    """Rows as a table of `columns` (key → heading), or all their fields as JSON."""
    if as_json:
        print_json([dict(row) for row in rows])
        return
    if not rows:
        console(stderr=True).print(nothing, style=QUIET)
        return
    out = plain_table()
    for key, heading in columns.items():
        number = all(type(row.get(key)) in _NUMBERS for row in rows)
        out.add_column(heading, justify="right" if number else "left", no_wrap=number)
    for row in rows:
        out.add_row(*(cell(row.get(key)) for key in columns))
    console().print(out)


def plain_table() -> Table:
    """A table without lines: headings, then rows."""
    return Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style=QUIET)


def cell(value: Any) -> Text:
    """A value as people read it."""
    if value is None:
        return Text("–", QUIET)
    if isinstance(value, bool):
        return Text("yes" if value else "no")
    if isinstance(value, float):
        return Text(f"{value:.1f}" if value < 100 else f"{value:.0f}")
    if isinstance(value, datetime):
        return Text(value.astimezone().strftime("%Y-%m-%d %H:%M:%S"))
    if isinstance(value, list | tuple):
        return Text(", ".join(str(part) for part in value))
    text = str(value)
    return Text(text, STYLES.get(text, BAD if text in _FAILURES else ""))


_FAILURES = frozenset({"function_error", "trap", "timeout", "memory_limit", "host_error"})
