"""What has to hold, and whether it did: each check says what was found, and every violation."""

from collections import Counter
from statistics import quantiles

import msgspec

from bench.soak.evidence import Evidence
from bench.soak.faults import Window
from bench.soak.ledger import Answer, Ledger
from bench.soak.watch import Watch

GROWTH_MB = 48
EVENTS_MB = 64
RECOVERED_S = 60
_FEW = 3  # requests that may all have met faults
WITNESS = "c"  # the node that is never started anew


class Check(msgspec.Struct):
    """One line of the verdict. `of_time`: how fast or how large it was, which a slow machine may excuse."""

    name: str
    found: str
    violations: list[str]
    of_time: bool = False


class Figures(msgspec.Struct):
    """Milliseconds, outside of all faults."""

    http_p50_ms: float
    http_p99_ms: float
    start_p50_ms: float
    start_p99_ms: float
    requests: int
    events: int


def calm(windows: list[Window], began: float, ended: float) -> bool:
    """Whether no fault was on between these times."""
    return not any(window.began <= ended and began <= window.ended for window in windows)


def unexcused(answers: list[Answer], windows: list[Window]) -> list[Answer]:
    """Answers that were not as they should be, and no fault's doing."""
    return [
        answer
        for answer in answers
        if answer.trouble and not any(window.excuses(answer) for window in windows)
    ]


def figures(ledger: Ledger, evidence: Evidence, windows: list[Window], epoch: float) -> Figures:
    """How fast it was while nothing was wrong. `epoch`: the start, in seconds since 1970."""
    plain = [
        a for a in ledger.answers if a.kind == "plain" and not a.trouble and calm(windows, a.began, a.ended)
    ]
    starts = [
        max(0.0, after)
        for key, after in evidence.started_after_s.items()
        if calm(windows, at := ledger.committed[key] - epoch, at + after)
    ]
    http, start = [(a.ended - a.began) * 1000 for a in plain], [one * 1000 for one in starts]
    effects = sum(account.effects for account in evidence.accounts)
    return Figures(*_half_and_99(http), *_half_and_99(start), len(ledger.answers), effects)


def _half_and_99(values: list[float]) -> tuple[float, float]:
    if len(values) < 2:
        return (0.0, 0.0)
    cuts = quantiles(values, n=100)
    return round(cuts[49], 2), round(cuts[98], 2)


def judge(
    ledger: Ledger, evidence: Evidence, watch: Watch, windows: list[Window], troubles: list[str]
) -> list[Check]:
    """All checks, most important first."""
    accounts = evidence.accounts
    total = sum(account.effects for account in accounts)
    calm_troubles = unexcused(ledger.answers, windows)
    return [
        Check("exactly once", f"{total} effects", [t for account in accounts for t in account.troubles]),
        Check("promises kept", f"{sum(map(len, ledger.accepted.values()))} accepted", ledger.broken_promises),
        Check("every second has its tick", f"{_ticks(evidence)} ticks", evidence.ticks_missing),
        Check("rows in order", f"{_of(evidence, 'accounts')} changes", evidence.out_of_order),
        Check("nothing given up", f"{evidence.dead_as_expected} dead that had to be", evidence.dead),
        Check("all settled", f"{total} effects", evidence.unsettled),
        Check("sent after the commit", f"{len(ledger.to_be_sent)} requests", evidence.unsent),
        Check("nodes", f"{len(windows)} faults", troubles),
        Check("records", f"{evidence.records}", _records(evidence)),
        Check("load of every kind", f"{len(ledger.answers)} requests", _silent(ledger, calm_troubles)),
        Check("no errors beside faults", f"{_errors(ledger)} within", _told(calm_troubles), of_time=True),
        Check("recovery", f"{_slowest(windows):.1f} s at most", _slow(windows), of_time=True),
        _memory(watch),
        _tables(watch),
    ]


def _of(evidence: Evidence, kind: str) -> int:
    return next((account.effects for account in evidence.accounts if account.kind == kind), 0)


def _ticks(evidence: Evidence) -> int:
    return _of(evidence, "tick") + _of(evidence, "tock")


def _records(evidence: Evidence) -> list[str]:
    violations = [f"{evidence.records_doubled} written twice"] if evidence.records_doubled else []
    if evidence.records_counted != evidence.records:
        violations.append(f"{evidence.records_counted} are in the figures of {evidence.records}")
    return violations


def _silent(ledger: Ledger, calm_troubles: list[Answer]) -> list[str]:
    """Kinds of load that never succeeded: a soak that sends nothing proves nothing."""
    calm = Counter(answer.kind for answer in calm_troubles)
    tried = Counter(answer.kind for answer in ledger.answers)
    worked = Counter(answer.kind for answer in ledger.answers if not answer.trouble)
    return [
        f"{kind}: {number} tried, none as it should be"
        for kind, number in tried.items()
        if not worked[kind] and (calm[kind] or number > _FEW)
    ]


def _errors(ledger: Ledger) -> int:
    return sum(answer.trouble is not None for answer in ledger.answers)


def _told(answers: list[Answer]) -> list[str]:
    return [f"{a.kind} to {a.node} from {a.began:.1f} to {a.ended:.1f} s: {a.trouble}" for a in answers]


def _slowest(windows: list[Window]) -> float:
    return max((window.ended - window.undone for window in windows), default=0.0)


def _slow(windows: list[Window]) -> list[str]:
    return [
        f"{window.kind} at {window.began:.0f} s: {window.ended - window.undone:.0f} s until all were ready"
        for window in windows
        if window.ended - window.undone > RECOVERED_S
    ]


def _memory(watch: Watch) -> Check:
    growth = watch.growth_mb(WITNESS)
    found = f"node {WITNESS}: {growth:+} MB from the second quarter to the last"
    return Check("memory flat", found, [found] if growth > GROWTH_MB else [], of_time=True)


def _tables(watch: Watch) -> Check:
    half = len(watch.samples) // 2
    early, late = (
        watch.most("events", "bytes", part) >> 20 for part in (slice(None, half), slice(half, None))
    )
    dead = watch.most("events", "dead", slice(None))
    found = f"events {early} MB in the first half, {late} in the second, {dead} dead rows at most"
    grew = late > EVENTS_MB or late > 2 * early + 8
    return Check("tables bounded", found, [found] if grew else [], of_time=True)
