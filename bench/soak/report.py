"""The report: a table for people, JSON for programs, a picture for the documentation."""

import os
import platform
import subprocess
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from bench.soak.evidence import Evidence
from bench.soak.faults import Window
from bench.soak.ledger import Answer, Ledger
from bench.soak.nodes import ROOT
from bench.soak.picture import picture
from bench.soak.verdict import Check, Figures
from bench.soak.watch import Sample

_SHOWN = 8


class Report(msgspec.Struct):
    """All that a soak has to tell."""

    seed: int
    minutes: float
    rate: float
    commit: str
    date: str
    machine: str
    impossible: list[str]  # faults that this system does not let us commit
    figures: Figures
    checks: list[Check]
    accounts: list[dict[str, Any]]
    windows: list[dict[str, Any]]
    samples: list[Sample]
    troubles: list[Answer]  # whatever was not answered as it should be, excused or not

    @property
    def passed(self) -> bool:
        """Whether nothing was violated."""
        return not any(check.violations for check in self.checks)


def make(
    *, seed: int, seconds: float, rate: float, impossible: list[str], figures: Figures, checks: list[Check],
    evidence: Evidence, ledger: Ledger, windows: list[Window], samples: list[Sample],
) -> Report:  # fmt: skip
    """The report of a soak that has just ended."""
    counted = ("kind", "sent", "accepted", "effects", "lost", "doubled", "unasked")
    return Report(
        seed=seed,
        minutes=round(seconds / 60, 2),
        rate=rate,
        commit=_commit(),
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        machine=f"{os.cpu_count()} × {_processor()}, load {os.getloadavg()[1]:.1f}, Python {platform.python_version()}",
        impossible=impossible,
        figures=figures,
        checks=checks,
        accounts=[{name: _count(asdict(one)[name]) for name in counted} for one in evidence.accounts],
        windows=[asdict(window) for window in windows],
        samples=samples,
        troubles=[answer for answer in ledger.answers if answer.trouble],
    )


def show(report: Report) -> None:
    """The verdict as tables, on standard output."""
    console = Console(soft_wrap=True)
    kinds = Table("kind", "sent", "accepted", "effects", "lost", "doubled", "unasked")
    for one in report.accounts:
        kinds.add_row(*(str(value) for value in one.values()))
    console.print(kinds)
    verdict = Table("", "check", "found")
    for check in report.checks:
        verdict.add_row("[red]✗" if check.violations else "[green]✓", check.name, check.found)
    console.print(verdict)
    for check in report.checks:
        for violation in check.violations[:_SHOWN]:
            console.print(f"✗ {check.name}: {violation}", markup=False, highlight=False)
        if len(check.violations) > _SHOWN:
            console.print(f"  … and {len(check.violations) - _SHOWN} more of {check.name}")
    console.print(msgspec.json.encode(report.figures).decode(), markup=False, highlight=False)
    for kind in report.impossible:
        console.print(f"not possible here: {kind}")


def write(report: Report, place: Path) -> None:
    """`report.json` and `timeline.svg` in `place`."""
    place.mkdir(parents=True, exist_ok=True)
    (place / "report.json").write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1))
    spans = [(window["kind"], window["began"], window["ended"]) for window in report.windows]
    (place / "timeline.svg").write_text(picture(report.samples, spans), encoding="utf-8")


def _count(value: Any) -> Any:
    return len(value) if isinstance(value, list) else value


def _commit() -> str:
    asked = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    done = subprocess.run(asked, check=False, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
