"""Turns the ticks of schedules into events. Every node does; the database lets each tick pass once.

A node looks, computes, and says what it decided. Whatever happens between (another node was first, the schedule was
changed, the node is killed), the decision counts whole or not at all, and the next look finds what is left.
"""

import asyncio
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from aerofn.db.schedules import Decision, Looked, Schedule
from aerofn.dispatch.cron import Cron, cron
from aerofn.errors import AeroFnError

log = structlog.get_logger(__name__)
# A tick that a busy node, or a short restart, is late for is not missed yet.
LATE = timedelta(seconds=60)


class Ticks(Protocol):
    """Where schedules are kept, and what time it is there; see `aerofn.db.schedules.Schedules`."""

    async def look(self) -> Looked: ...  # noqa: D102
    async def decide(self, decisions: list[Decision]) -> int: ...  # noqa: D102
    async def seconds_to_next(self) -> float | None: ...  # noqa: D102


async def tick(ticks: Ticks) -> float | None:
    """Decide what there is to decide; answers the seconds until the next tick of all, if one is known.

    Raises:
        DatabaseUnavailable: what was not decided is found again.
    """
    looked = await ticks.look()
    while looked.now is not None:
        decisions = []
        for schedule in looked.schedules:
            decisions.append(decision(schedule, looked.now))
            await asyncio.sleep(0)  # a thousand schedules at midnight are not to stop everything else
        await ticks.decide(decisions)
        looked = await ticks.look()
    return await ticks.seconds_to_next()


def decision(schedule: Schedule, now: datetime) -> Decision:
    """Which ticks of a schedule become events at `now`, and when it is next due. A failure is part of it."""
    id_, revision, until = schedule.id, schedule.revision, schedule.decided_until
    try:
        times = cron(schedule.fields, schedule.either_day, schedule.timezone)
        due = schedule.next_at or times.after(until)
        if due > now:
            return Decision(id=id_, revision=revision, decided_until=until, next_at=due)
        ticks, due = _ticks(schedule, times, due, now)
        return Decision(id=id_, revision=revision, decided_until=now, next_at=due, ticks=ticks)
    except AeroFnError as error:
        log.error("a schedule cannot run", schedule=id_, error=error.message)
        return Decision(id=id_, revision=revision, decided_until=until, error=error.body())


def _ticks(schedule: Schedule, times: Cron, due: datetime, now: datetime) -> tuple[list[datetime], datetime]:
    """The ticks from `due` up to `now` that become events, and the first one after these."""
    ticks = []
    if due <= now - LATE:
        if schedule.missed == "once":
            ticks.append(times.latest(schedule.decided_until, now - LATE))
        due = times.after(now - LATE)
    while due <= now:
        ticks.append(due)
        due = times.after(due)
    return ticks, due
