"""The plan of `aerofn apply` as people read it: a line for each step, a line for each difference."""

from typing import Any

from rich.text import Text

from aerofn.cli.apply.plan import Change, Step
from aerofn.cli.output import BAD, GOOD, QUIET, WAITING, console

_MARKS = {
    Change.CREATE: ("+", GOOD, ""),
    Change.REPLACE: ("~", WAITING, ""),
    Change.DROP: ("-", BAD, ""),
    Change.KEEP: (" ", QUIET, "as declared"),
    Change.STRAY: ("?", WAITING, "not declared; --prune would drop it"),
}
_LONGEST = 60


def plan(steps: list[Step]) -> None:
    """All steps, those that change nothing too."""
    out = console()
    width = max((len(step.kind) for step in steps), default=0)
    for step in steps:
        mark, style, remark = _MARKS[step.change]
        made_by = f"made by {step.by}" if step.by and step.change is not Change.KEEP else ""
        remarks = "; ".join(filter(None, (remark, made_by)))
        line = Text.assemble((f"{mark} {step.kind.ljust(width)}  {step.name}", style))
        out.print(line.append(f"  {remarks}" if remarks else "", QUIET), soft_wrap=True)
        for d in step.differences:
            out.print(f"    {d.option}: {_value(d.is_now)} → {_value(d.declared)}", soft_wrap=True)
    out.print(_sum(steps), style=QUIET)


def done(steps: list[Step], made: dict[str, int]) -> None:
    """What was done."""
    out = console()
    for name, number in made.items():
        out.print(f"{name} version {number} is ready", style=GOOD)
    changed = sum(step.change in (Change.CREATE, Change.REPLACE, Change.DROP) for step in steps)
    out.print(f"{changed} applied" if changed else "nothing to do", style=GOOD if changed else QUIET)


def _sum(steps: list[Step]) -> str:
    counts = {change: sum(step.change is change for step in steps) for change in Change}
    words = {
        Change.CREATE: "to create", Change.REPLACE: "to change", Change.DROP: "to drop",
        Change.KEEP: "as declared", Change.STRAY: "not declared",
    }  # fmt: skip
    return (
        ", ".join(f"{counts[change]} {word}" for change, word in words.items() if counts[change]) or "nothing"
    )


def _value(value: Any) -> str:
    if value is None:
        return "–"
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= _LONGEST else f"{text[:12]}…"
