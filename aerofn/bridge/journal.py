"""The lines one invocation logs: capped, and without the secrets it was granted."""

import time

from aerofn.bridge.redaction import Redactor, bare
from aerofn.model import LogLine

_LONGEST_LINE = 16_384
_LEVELS = frozenset({"debug", "info", "warn", "error"})


class Journal:
    """Takes lines while the function runs; `lines` are those that are kept.

    Args:
        redactor: of the function's secrets; None if it was granted none.
    """

    def __init__(self, max_lines: int, redactor: Redactor | None = None) -> None:
        self.lines: list[LogLine] = []
        self._max_lines = max_lines
        self._redactor = redactor
        self._started = time.clock_gettime(time.CLOCK_MONOTONIC)

    def add(self, level: str, message: str, at: float) -> None:
        """Keep a line of `at` (seconds, CLOCK_MONOTONIC); past the cap one line says that there were more."""
        if len(self.lines) > self._max_lines:
            return
        if len(self.lines) == self._max_lines:
            level, message = "warn", f"more than {self._max_lines} lines: the rest is not kept"
        level = level if level in _LEVELS else "info"
        at_ms = round((at - self._started) * 1000, 3)
        if self._redactor is None:
            self.lines.append(LogLine(level, message[:_LONGEST_LINE], at_ms))
            return
        # A value that the cut would go through is found before it is cut.
        message = message[: _LONGEST_LINE + 2 * self._redactor.longest]
        self.lines.append(LogLine(level, message, at_ms))
        self._redact(self._redactor)

    def _redact(self, redactor: Redactor) -> None:
        """Look at the newest line, with as many before it as a value may be spread over."""
        start, reach = len(self.lines) - 1, redactor.longest - 1
        while start > 0 and reach > 0:
            start -= 1
            reach -= len(bare(self.lines[start].message))
        texts = redactor.lines([line.message for line in self.lines[start:]])
        for at, text in enumerate(texts, start):
            line = self.lines[at]
            self.lines[at] = LogLine(line.level, text[:_LONGEST_LINE], line.at_ms)
