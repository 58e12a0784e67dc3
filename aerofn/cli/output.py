"""What the command line says: tables for people, JSON for programs, errors as message, detail and hint."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from rich.console import Console, ConsoleOptions, JustifyMethod, RenderableType
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
_TEXTS = frozenset({"error", "reason", "on", "roles"})  # rather than names
_GAP, _NAME, _TEXT = 2, 28, 24

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
        detail = error.detail.strip("\n").rstrip().replace("\n", "\n  ")
        out.print(Text(f"  {detail}", QUIET), soft_wrap=True)
    if error.hint:
        out.print(Text.assemble(("  hint: ", WAITING), error.hint), soft_wrap=True)


def print_json(value: Any, *, indent: int = 2) -> None:
    """One JSON document on standard output; on one line with `indent` -1."""
    encoded = msgspec.json.encode(value, enc_hook=str)
    sys.stdout.write(escaped(msgspec.json.format(encoded, indent=indent).decode()) + "\n")


def print_rows(
    rows: Sequence[Row], columns: Mapping[str, str], *, spare: Sequence[str] = (), as_json: bool, nothing: str
) -> None:
    """Rows as a table of `columns` (key → heading), or all their fields as JSON.

    A column without any value is left out; where the terminal is narrow, those of `spare` are too, the first one first.
    """
    if as_json:
        print_json([dict(row) for row in rows])
        return
    if not rows:
        console(stderr=True).print(nothing, style=QUIET)
        return
    out, table = console(), plain_table()
    texts = {key: [_short(row.get(key)) for row in rows] for key in columns if any(map(_has(key), rows))}
    least = {key: _least(key, columns[key], cells) for key, cells in texts.items()}
    for key in spare:
        if not _fits(least, out):
            least.pop(key, None)
    fits = _fits(least, out)
    for key, width in least.items():
        number = all(type(row.get(key)) in _NUMBERS for row in rows)
        side: JustifyMethod = "right" if number else "left"
        table.add_column(columns[key], justify=side, overflow="fold", min_width=width if fits else None)
    for cells in zip(*(texts[key] for key in least), strict=True):
        table.add_row(*cells)
    out.print(table)


def _has(key: str) -> Callable[[Row], bool]:
    return lambda row: row.get(key) is not None


def _fits(least: Mapping[str, int], out: Console) -> bool:
    return sum(least.values()) + _GAP * len(least) <= out.width


def _least(key: str, heading: str, cells: Sequence[Text]) -> int:
    """What a column's width must be: longer names and texts go on in the next line."""
    width = max(len(heading), *(cell.cell_len for cell in cells))
    return min(width, _TEXT if key in _TEXTS else _NAME)


def _short(value: Any) -> Text:
    """A cell of a table: of today's times only the time."""
    if isinstance(value, datetime) and value.astimezone().date() == datetime.now().astimezone().date():
        return Text(f"{value.astimezone():%H:%M:%S}")
    return cell(value)


def plain_table() -> Table:
    """A table without lines: headings, then rows."""
    return Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style=QUIET)


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
