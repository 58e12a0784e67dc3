"""Shares of the threads' time: as much as is over in a moment, owners in turn, none lost."""

import asyncio

import pytest

from aerofn.runtime.backlog import MOST_NS, Backlog, Share

HALF = MOST_NS // 2


class Line:
    """Runs that want a share each, and the order in which they had it."""

    def __init__(self, most: int = 100) -> None:
        self.backlog = Backlog(asyncio.get_running_loop(), most)
        self.order: list[str] = []

    async def run(self, owner: str, ns: int = HALF) -> Share:
        share = Share(ns)
        if not self.backlog.take(share):
            await self.backlog.wait(owner, share)
        self.order.append(owner)
        return share


async def started(runs: "list[asyncio.Task[Share]]") -> None:
    """Let all that may have a share take it."""
    for _ in range(len(runs) + 2):
        await asyncio.sleep(0)


async def test_as_many_as_there_is_time_for() -> None:
    line = Line()
    runs = [asyncio.create_task(line.run("one")) for _ in range(5)]
    await started(runs)
    assert [run.done() for run in runs] == [True, True, False, False, False]
    line.backlog.leave(runs[1].result())
    await started(runs)
    assert [run.done() for run in runs] == [True, True, True, False, False]
    for run in runs:
        line.backlog.leave(await run)


async def test_one_that_takes_long_has_it_by_itself() -> None:
    line = Line()
    long, short = (asyncio.create_task(line.run(owner, ns)) for owner, ns in (("a", 10 * MOST_NS), ("b", 1)))
    await started([long, short])
    assert not short.done()
    line.backlog.leave(await long)
    await short


async def test_no_more_than_there_may_be_sandboxes_for() -> None:
    line = Line(2)
    runs = [asyncio.create_task(line.run("one", 1)) for _ in range(3)]
    await started(runs)
    assert [run.done() for run in runs] == [True, True, False]
    line.backlog.leave(await runs[0])
    await runs[2]


async def test_a_flood_does_not_stand_before_anothers_first() -> None:
    line = Line()
    runs = [asyncio.create_task(line.run(owner, MOST_NS)) for owner in ("flood",) * 10 + ("other",)]
    await started(runs)
    while len(line.order) < len(runs):
        for run in runs:
            if run.done():
                line.backlog.leave(run.result())
        await started(runs)
    assert line.order.index("other") <= 2


async def test_nobody_who_comes_later_passes_those_who_wait() -> None:
    line = Line()
    first = await line.run("a", MOST_NS)
    waiting = asyncio.create_task(line.run("b", MOST_NS))
    await started([waiting])
    line.backlog.leave(first)  # who waits is called, and has not run yet
    assert not line.backlog.take(Share(1))
    await waiting


async def test_a_share_is_given_back_once() -> None:
    line = Line()
    first, second = await line.run("a"), await line.run("a")
    for _ in range(3):
        line.backlog.leave(first)
    assert line.backlog.take(Share(HALF))
    assert not line.backlog.take(Share(1))
    line.backlog.leave(second)


@pytest.mark.parametrize("called", [False, True])
async def test_who_gives_up_leaves_the_share_to_others(called: bool) -> None:
    line = Line()
    first = await line.run("a", MOST_NS)
    gives_up = [asyncio.create_task(line.run("b", MOST_NS)) for _ in range(3)]
    stays = asyncio.create_task(line.run("c", MOST_NS))
    await started(gives_up)
    if called:
        line.backlog.leave(first)  # the first of them has its share now, and learns of it in the next pass
    for run in gives_up:
        run.cancel()
    await asyncio.wait(gives_up)
    assert all(run.cancelled() for run in gives_up)
    line.backlog.leave(first)
    line.backlog.leave(await asyncio.wait_for(stays, 10))
    assert line.backlog.take(Share(MOST_NS))
