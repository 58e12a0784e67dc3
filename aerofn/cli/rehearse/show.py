"""The report of a rehearsal: a line for each event that went otherwise, and the sum."""

from statistics import median
from typing import Any

import msgspec
from rich.text import Text

from aerofn.cli.output import BAD, GOOD, QUIET, WAITING, console
from aerofn.cli.rehearse.compare import Difference, Ran
from aerofn.cli.rehearse.rehearsal import Candidate

_MOST = 5
_LONGEST = 70


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """One event, run by the active version and by the candidate."""

    event: str
    active: Ran
    candidate: Ran
    differences: list[Difference]

    @property
    def broke(self) -> bool:
        """Whether the candidate fails where the active version succeeded."""
        return self.active.succeeded and not self.candidate.succeeded


def report(function: str, versions: tuple[Candidate, Candidate], all_of_them: list[Compared]) -> None:
    """Everything that differs, then the sum; `versions`: the active one and the other."""
    out = console()
    for one in all_of_them:
        if one.broke:  # nothing else of it is to be compared
            did = one.candidate.did
            out.print(
                Text.assemble((f"event {one.event} fails", BAD), f": {did['error']} ({did['outcome']})")
            )
        elif one.differences:
            out.print(Text.assemble((f"event {one.event} differs", WAITING)))
            for difference in one.differences[:_MOST]:
                out.print(
                    f"  {difference.where}: {_value(difference.active)} → {_value(difference.candidate)}"
                )
            if len(one.differences) > _MOST:
                out.print(f"  and {len(one.differences) - _MOST} more", style=QUIET)
    active, other = versions
    if active.run_as != other.run_as:  # what explains most refusals
        out.print(
            f"version {other.number} acts as {_actor(other)}, version {active.number} as {_actor(active)}"
        )
    out.print(_sum(function, (active.number, other.number), all_of_them))


def _actor(version: Candidate) -> str:
    return "the event's caller" if version.run_as is None else version.run_as


def _sum(function: str, versions: tuple[int, int], all_of_them: list[Compared]) -> Text:
    fails = sum(one.broke for one in all_of_them)
    differ = sum(bool(one.differences) for one in all_of_them) - fails
    same = len(all_of_them) - differ - fails
    line = Text(
        f"{function}: version {versions[1]} beside version {versions[0]}, {len(all_of_them)} events: "
    )
    line.append(f"{same} the same", GOOD).append(f", {differ} differ", WAITING if differ else QUIET)
    line.append(f", {fails} fail", BAD if fails else QUIET)
    took = [median(run.duration_ms for run in runs) for runs in _runs(all_of_them)]
    line.append(f"\nmedian time {took[0]:.1f} → {took[1]:.1f} ms", QUIET)
    most = [max((run.memory_mb or 0 for run in runs), default=0) for runs in _runs(all_of_them)]
    return line.append(f", most memory {most[0]:.1f} → {most[1]:.1f} MB", QUIET)


def _runs(all_of_them: list[Compared]) -> tuple[list[Ran], list[Ran]]:
    return [one.active for one in all_of_them], [one.candidate for one in all_of_them]


def _value(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
