"""What the database and the far side have to say when everything is over."""

import asyncio
from collections import Counter
from collections.abc import Container
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from bench.soak.ledger import Account, Ledger, out_of_order
from bench.soak.postgres import Postgres, Q

TICKS = ("tick", "tock")


@dataclass
class Evidence:
    """Read once, after all has settled."""

    accounts: list[Account] = field(default_factory=list)
    out_of_order: list[str] = field(default_factory=list)
    ticks_missing: list[str] = field(default_factory=list)
    unsettled: list[str] = field(default_factory=list)
    unsent: list[str] = field(default_factory=list)
    dead: list[str] = field(default_factory=list)
    dead_as_expected: int = 0
    started_after_s: dict[tuple[str, str], float] = field(default_factory=dict)
    records: int = 0
    records_doubled: int = 0
    records_counted: int = 0


async def settled(postgres: Postgres, seconds: float) -> list[str]:
    """Wait until no event is left but dead ones; those that are left after `seconds`, in words."""
    try:
        async with asyncio.timeout(seconds):
            while left := await postgres.surely(Q.unsettled):  # noqa: ASYNC110
                await asyncio.sleep(0.5)
    except TimeoutError:
        return [str(dict(row)) for row in left]
    return []


async def gather(postgres: Postgres, ledger: Ledger, sent: Container[str]) -> Evidence:
    """Compare what was promised with the tables; completes the ledger by what writers could not know.

    Args:
        sent: keys of the requests that have reached the far side.
    """
    effects = await postgres.surely(Q.effects)
    await _what_committed(postgres, ledger)
    for kind in TICKS:  # nobody asks for a tick: each that came is as good as sent
        ledger.sent[kind].update(row["key"] for row in effects if row["kind"] == kind)
    found = Evidence(ledger.account(Counter((row["kind"], row["key"]) for row in effects)))
    found.out_of_order = out_of_order((row["kind"], row["key"]) for row in effects)
    for kind in TICKS:
        found.ticks_missing += _gaps(kind, [row["key"] for row in effects if row["kind"] == kind])
    for row in effects:
        if committed := ledger.committed.get((row["kind"], row["key"])):
            found.started_after_s[row["kind"], row["key"]] = row["started"] / 1000 - committed
    found.unsent = sorted(key for key in ledger.to_be_sent if key not in sent)
    await _dead(postgres, found)
    records = (await postgres.surely(Q.records))[0]
    found.records, found.records_doubled = records["number"], records["number"] - records["different"]
    found.records_counted = records["counted"]
    return found


async def _what_committed(postgres: Postgres, ledger: Ledger) -> None:
    """A write whose answer was lost has happened or not: its row tells, and its event has to agree."""
    for kind, statement in (("orders", Q.orders), ("invoke", Q.asked)):
        there = {str(row[0]) for row in await postgres.surely(statement)}
        known = {key for of, key in ledger.committed if of == kind}
        if known - there:
            ledger.broken_promises.append(f"PostgreSQL lost {len(known - there)} committed rows of {kind}")
        ledger.accept(kind, there)
        ledger.refused[kind] |= ledger.sent[kind] - there
    for row in await postgres.surely(Q.accounts):
        ledger.accept("accounts", [f"{row['id']}:{n}" for n in range(1, row["n"] + 1)])


def _gaps(schedule: str, ticks: list[str]) -> list[str]:
    """Seconds between the first and the last tick for which there is none."""
    seen = {int(datetime.fromisoformat(tick).timestamp()) for tick in ticks}
    if not seen:
        return [f"{schedule} never came"]
    every = range(min(seen), max(seen) + 1)
    return [f"{schedule} {datetime.fromtimestamp(at, UTC):%H:%M:%S}" for at in every if at not in seen]


async def _dead(postgres: Postgres, found: Evidence) -> None:
    rows: list[Any] = await postgres.surely(Q.dead)
    for row in rows:
        if row["function"] == "hostile":
            found.dead_as_expected += row["number"]
        else:
            found.dead.append(
                f"{row['number']} of {row['function']} by {row['source']}: {row['errors']}"[:400]
            )
