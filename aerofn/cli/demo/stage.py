"""How the demo looks: numbered steps, the SQL and shell that a person would type, tables, few words."""

import time
from collections.abc import Sequence

from rich.console import Console
from rich.padding import Padding
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from aerofn import __version__
from aerofn.cli.output import BAD, GOOD, QUIET, STYLES, console, plain_table
from aerofn.cli.place import Place
from aerofn.model import Record

_INDENT = "   "
_ACCENT = "cyan"


class Stage:
    """Prints to standard output; plain text where that is no terminal."""

    def __init__(self, out: Console | None = None) -> None:
        self._out = out or console()
        self._steps = 0

    def title(self) -> None:
        """The first line."""
        self._out.print(
            Text.assemble((f"AeroFn {__version__}", f"bold {_ACCENT}"), "  functions for your Postgres")
        )

    def step(self, title: str, explanation: str) -> None:
        """Begin the next step."""
        self._steps += 1
        number = (f"\n{self._steps}  ", f"bold {_ACCENT}")
        self._out.print(Text.assemble(number, (title, "bold"), (f"   {explanation}", QUIET)), soft_wrap=True)

    def note(self, line: str) -> None:
        """A few words of explanation."""
        self._line(Text(line, QUIET))

    def say(self, line: str) -> None:
        """Plain words."""
        self._out.print(line, soft_wrap=True)

    def good(self, line: str) -> None:
        """What has been achieved."""
        self._line(Text.assemble(("✓ ", GOOD), line))

    def sql(self, *statements: str) -> None:
        """SQL as one types it in psql."""
        self._code("sql", "\n".join(statements))

    def shell(self, command: str) -> None:
        """A command as one types it in a shell."""
        self._code("bash", command)

    def answer(self, good: bool, text: str) -> None:
        """What a command answered."""
        self._line(Text.assemble(("→ ", GOOD if good else BAD), text))

    def stock(self, before: Sequence[tuple[str, int]], after: Sequence[int]) -> None:
        """Rows before and after."""
        table = plain_table()
        table.add_column("products.name")
        table.add_column("stock before", justify="right")
        table.add_column("after", justify="right")
        for (name, old), new in zip(before, after, strict=True):
            table.add_row(name, str(old), Text(str(new), f"bold {GOOD}" if new != old else ""))
        self._table(table)

    def runs(self, rows: Sequence[tuple[Record, float | None]]) -> None:
        """Invocation records, each with the milliseconds from commit to start where an event caused it."""
        table = plain_table()
        for name in ("trigger", "as role"):
            table.add_column(name, no_wrap=True)
        for name in ("commit→run", "took", "memory", "queries"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("status", no_wrap=True)
        for record, waited in rows:
            table.add_row(
                record.trigger,
                record.role,
                "" if waited is None else f"{waited:.1f} ms",
                f"{record.duration_ms:.1f} ms",
                "" if record.memory_peak_mb is None else f"{record.memory_peak_mb:.1f} MB",
                str(record.queries),
                _status(record),
            )
        self._table(table)

    def live(self, record: Record) -> None:
        """One line for an invocation while the demo serves."""
        said = record.error["message"] if record.error else "; ".join(line.message for line in record.logs)
        line = Text.assemble(
            (time.strftime("%H:%M:%S  "), QUIET), f"{record.function}  ", (f"{record.trigger}  ", QUIET)
        )
        line.append_text(_status(record)).append(f"  {record.duration_ms:.1f} ms  ", QUIET).append(said)
        self._out.print(line, soft_wrap=True)

    def hints(self, rows: Sequence[tuple[str, str]]) -> None:
        """Where things are and what to try."""
        width = max(len(name) for name, _ in rows)
        for name, value in rows:
            self._line(Text.assemble((name.ljust(width + 2), QUIET), value))

    def farewell(self, place: Place, *, stopped: bool) -> None:
        """The last line."""
        if place.in_use:
            self.note("PostgreSQL goes on: another process uses it as well")
        elif stopped:
            self.blank()  # what the terminal shows of Ctrl-C is on the line above
            self.note("stopped; the data stay in .aerofn/ for the next time")

    def blank(self) -> None:
        """An empty line."""
        self._out.print()

    def _code(self, language: str, text: str) -> None:
        self._out.print()
        colours = Syntax("", language, theme="ansi_dark")
        for line in text.strip().splitlines():
            # psql's own commands are no SQL.
            self._line(Text(line) if line.startswith("\\") else colours.highlight(line).split()[0])
        self._out.print()

    def _line(self, line: Text) -> None:
        self._out.print(Text(_INDENT).append_text(line), soft_wrap=True)

    def _table(self, table: Table) -> None:
        self._out.print(Padding(table, (0, 0, 0, len(_INDENT)), expand=False))


def _status(record: Record) -> Text:
    return Text(record.status.value, STYLES.get(record.status.value, BAD))
