"""What `aerofn dev` shows: what was applied and built, and every invocation as it ends, with its log."""

import time
from pathlib import Path

from rich.text import Text

from aerofn.cli.apply.plan import Change, Step
from aerofn.cli.output import BAD, GOOD, QUIET, STYLES, WAITING, console
from aerofn.errors import AeroFnError
from aerofn.model import Record

_LEVELS = {"error": BAD, "warn": WAITING, "debug": QUIET}
_MARKS = {Change.CREATE: ("+", GOOD), Change.REPLACE: ("~", WAITING), Change.DROP: ("-", BAD)}


class Screen:
    """Prints lines to standard output, each with the time."""

    def __init__(self) -> None:
        self._out = console()

    def begin(self, url: str, environment: str | None) -> None:
        """The node runs."""
        self._say(Text.assemble("serving ", (url, "cyan")))
        if environment is not None:
            self._say(Text(f'in another terminal: . {environment}; psql "$DATABASE_URL"', QUIET))
            self._say(Text(f"dashboard: {url}/ with the token of: aerofn token --role service_role", QUIET))

    def end(self, folder: Path) -> None:
        """It was stopped, and what it started too."""
        self._out.print(Text(f"\nstopped; the data stay in {folder}/ for the next time", QUIET))

    def migrated(self, names: list[str]) -> None:
        """Files of the project's schema were applied."""
        for name in names:
            self._say(Text.assemble(("+ ", GOOD), f"db/{name}"))

    def applied(self, steps: list[Step], versions: dict[str, int], seconds: float) -> None:
        """The database is as declared, `seconds` after the change was noticed."""
        for step in steps:
            if step.change not in _MARKS:
                continue
            mark, style = _MARKS[step.change]
            line = Text.assemble((f"{mark} ", style), f"{step.kind} {step.name}")
            if step.name in versions and step.kind == "function":
                line.append(f" version {versions[step.name]}")
            if step.differences:
                line.append("  " + ", ".join(difference.option for difference in step.differences), QUIET)
            self._say(line)
        self._say(Text(f"up to date after {seconds:.1f} s", QUIET))

    def changed(self, files: list[Path]) -> None:
        """Files of the project were saved or removed; not those that an editor makes for a moment beside them."""
        present = [file.name for file in files if file.exists()]
        removed = [file.name for file in files]
        what = f"saved {', '.join(present)}" if present else f"removed {', '.join(removed)}"
        self._say(Text(what, QUIET))

    def doing(self, text: str) -> None:
        """Something is being done that takes a while."""
        self._say(Text(text, QUIET))

    def wrong(self, error: AeroFnError) -> None:
        """It does not build or cannot be applied; what ran before goes on."""
        self._say(Text.assemble(("✗ ", BAD), error.message))
        for text in filter(None, (error.detail, error.hint)):
            self._more(text, QUIET)

    def invoked(self, record: Record) -> None:
        """One invocation has ended."""
        status = record.status.value
        again = f"attempt {record.attempt}  " if record.attempt > 1 else ""
        line = Text.assemble(f"{record.function}  ", (f"{record.trigger} as {record.role}  {again}", QUIET))
        line.append(status, STYLES.get(status, BAD)).append(f"  {record.duration_ms:.1f} ms", QUIET)
        if record.memory_peak_mb is not None:
            line.append(f"  {record.memory_peak_mb:.1f} MB", QUIET)
        self._say(line)
        for logged in record.logs:
            self._more(logged.message, _LEVELS.get(logged.level, ""))
        if record.error is not None:
            self._more(record.error.get("stack") or record.error["message"], BAD)

    def _say(self, line: Text) -> None:
        self._out.print(Text(time.strftime("%H:%M:%S  "), QUIET).append_text(line), soft_wrap=True)

    def _more(self, text: str, style: str) -> None:
        self._out.print(
            Text("          " + text.strip("\n").rstrip().replace("\n", "\n          "), style),
            soft_wrap=True,
        )
