"""`log`, `print` and the standard `logging`: every line becomes one of the invocation's log."""

import io
import logging
import sys
from types import TracebackType

from aerofn import _host
from aerofn._errors import stack_of

_LEVELS = ((logging.ERROR, "error"), (logging.WARNING, "warn"), (logging.INFO, "info"))

log = logging.getLogger("function")
"""The function's own logger: `log.info("order %s", id)`, `log.exception("it failed")`."""


class _Formatter(logging.Formatter):
    def formatException(  # noqa: N802  logging's name
        self,
        ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None],
    ) -> str:
        return stack_of(ei[1]) if ei[1] is not None else ""


class _ToHost(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        level = next((name for least, name in _LEVELS if record.levelno >= least), "debug")
        try:
            text = self.format(record)
        except Exception:  # as logging's own handlers: what cannot be formatted ends nothing
            self.handleError(record)
            return
        _host.log(level, text if record.name == log.name else f"{record.name}: {text}")


class Lines(io.TextIOBase):
    """A text stream whose lines are log lines of one level."""

    def __init__(self, level: str) -> None:
        self._level = level
        self._rest = ""

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, text: str) -> int:
        """Log the lines that are complete; keep the rest for the next write."""
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            _host.log(self._level, line)
        return len(text)

    def finish(self) -> None:
        """Log what is left without an end of line."""
        if self._rest:
            self.write("\n")


stdout, stderr = Lines("info"), Lines("warn")


def install() -> None:
    """Send everything that is logged or printed to the host."""
    sys.stdout, sys.stderr = stdout, stderr
    handler = _ToHost()
    handler.setFormatter(_Formatter("%(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.INFO)
    log.setLevel(logging.DEBUG)


def finish() -> None:
    """Log what was printed without an end of line."""
    stdout.finish()
    stderr.finish()
