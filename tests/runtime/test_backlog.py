"""Shares of the threads' time: as much as is over in a moment, owners in turn, none lost."""

import asyncio
from types import SimpleNamespace
from typing import cast

import pytest

from aerofn.runtime import Component
from aerofn.runtime.backlog import LEAST, MOST, MOST_NS, Backlog, Share

LONG, SHORT = 10 * MOST_NS, 1


def share_of(takes_ns: int) -> Share:
    """A share for a run of a component that takes so long."""
    return Share(cast("Component", SimpleNamespace(takes_ns=takes_ns)))


class Line:
    """Runs that want a share each, and the order in which they had it."""

    def __init__(self, places: int = 1000) -> None:
        self.backlog = Backlog(asyncio.get_running_loop(), places)
        self.order: list[str] = []

    def start(self, owner: str, takes_ns: int = LONG, count: int = 1) -> "list[asyncio.Task[Share]]":
        return [asyncio.create_task(self._run(owner, share_of(takes_ns))) for _ in range(count)]

    async def _run(self, owner: str, share: Share) -> Share:
        if not self.backlog.take(share):
            await self.backlog.wait(owner, share)
        self.order.append(owner)
        return share

    async def filled(self) -> list[Share]:
        """As many as there may be that take long."""
        return list(await asyncio.gather(*self.start("first", count=LEAST)))


async def begun(runs: "list[asyncio.Task[Share]]") -> int:
    """How many have a share, when all have it that may."""
    for _ in range(len(runs) + 2):
        await asyncio.sleep(0)
    return sum(run.done() and not run.cancelled() for run in runs)


@pytest.mark.parametrize(
    ("takes_ns", "most"), [(LONG, LEAST), (MOST_NS // LEAST // 2, 2 * LEAST), (SHORT, MOST)]
)
async def test_as_many_as_there_is_time_for(takes_ns: int, most: int) -> None:
    line = Line()
    runs = line.start("one", takes_ns, 3 * MOST)
    assert await begun(runs) == most
    line.backlog.leave(runs[0].result())
    assert await begun(runs) == most + 1
    for n, run in enumerate(runs):
        if n:
            line.backlog.leave(await run)
    assert len(line.order) == 3 * MOST


@pytest.mark.parametrize(("places", "most"), [(1, 1), (4, 1), (8, 2)])
async def test_most_sandboxes_are_for_others(places: int, most: int) -> None:
    assert await begun(Line(places).start("one", SHORT, 5)) == most


async def test_what_a_run_takes_is_what_is_known_when_it_begins() -> None:
    line, component = Line(), SimpleNamespace(takes_ns=SHORT)
    first, waits = await line.filled(), Share(cast("Component", component))
    waiting = asyncio.create_task(line._run("other", waits))
    await begun([waiting])
    component.takes_ns = LONG
    line.backlog.leave(first[0])
    assert (await waiting).ns == MOST_NS // LEAST


async def test_a_flood_does_not_stand_before_anothers_first() -> None:
    line = Line()
    first, runs = await line.filled(), [*line.start("flood", count=20), *line.start("other")]
    await begun(runs)
    for share in first:
        line.backlog.leave(share)
    await begun(runs)
    assert line.order[LEAST:] == ["flood", "other", "flood", "flood"]


async def test_nobody_who_comes_later_passes_those_who_wait() -> None:
    line = Line()
    first, waiting = await line.filled(), line.start("b", count=LEAST)
    await begun(waiting)
    for share in first:
        line.backlog.leave(share)  # who waits is called, and has not run yet
    assert not line.backlog.take(share_of(SHORT))
    assert await begun(waiting) == LEAST


async def test_a_share_is_given_back_once() -> None:
    line = Line()
    first = await line.filled()
    for _ in range(3):
        line.backlog.leave(first[0])
    assert line.backlog.take(share_of(LONG))
    assert not line.backlog.take(share_of(SHORT))


@pytest.mark.parametrize("called", [False, True])
async def test_who_gives_up_leaves_the_share_to_others(called: bool) -> None:
    line = Line()
    first, gives_up, stays = await line.filled(), line.start("b", count=9), line.start("c")
    await begun(gives_up)
    if called:
        line.backlog.leave(first[0])  # one of them has its share now, and learns of it in the next pass
    for run in gives_up:
        run.cancel()
    await asyncio.wait(gives_up)
    assert all(run.cancelled() for run in gives_up)
    line.backlog.leave(first[0])
    assert await begun(stays) == 1
    line.backlog.leave(first[1])
    assert line.backlog.take(share_of(LONG))
