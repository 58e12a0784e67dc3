"""What one invocation under test did."""

from typing import Any

import msgspec

from aerofn.model import GuestError, LogLine, Outcome, Run


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of an invocation.

    Attributes:
        outcome: `success`, `function_error`, `trap`, `timeout`, `memory_limit`.
        error: what the function threw, or why it was stopped; None on success.
        logs: the lines it logged; `log_lines` has them with level and time.
        queries: its statements, each with its parameters.
        fetches: the requests it sent.
        duration_ms, memory_mb: what it took; `memory_mb` is None where it cannot be known.
    """

    run: Run
    log_lines: list[LogLine]
    queries: list[tuple[str, Any]]
    fetches: list[dict[str, Any]]

    @property
    def outcome(self) -> Outcome:
        """How it ended."""
        return self.run.outcome

    @property
    def value(self) -> Any:
        """What it returned.

        Raises:
            AssertionError: it failed; says how.
        """
        if self.run.output is None:
            raise AssertionError(f"the function did not succeed: {self.told}")
        return msgspec.json.decode(self.run.output)

    @property
    def error(self) -> GuestError | None:
        """Why it failed."""
        return self.run.error

    @property
    def told(self) -> str:
        """The error as its author reads it."""
        error = self.run.error
        if error is None:
            return str(self.outcome)
        return error.stack or f"{error.name or self.outcome}: {error.message}"

    @property
    def logs(self) -> list[str]:
        """The lines it logged."""
        return [line.message for line in self.log_lines]

    @property
    def duration_ms(self) -> float:
        """How long it ran."""
        return self.run.usage.wall_ms

    @property
    def memory_mb(self) -> float | None:
        """The most memory it had."""
        peak = self.run.usage.memory_peak
        return None if peak is None else peak / (1 << 20)
