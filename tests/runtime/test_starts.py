"""The beginning of runs: a few at a time, owners in turn, and nobody waits for those who wait."""

import asyncio
import time

import pytest

from aerofn.runtime import starts
from aerofn.runtime.starts import YOUNG, Starts


class Crowd:
    """Runs that begin, note their owner and end when they are told to."""

    def __init__(self) -> None:
        self.starts = Starts(asyncio.get_running_loop())
        self.began: list[str] = []
        self.ends: list[asyncio.Event] = []

    async def run(self, owner: str) -> None:
        number = self.starts.take() or await self.starts.wait(owner)
        end = asyncio.Event()
        self.began.append(owner)
        self.ends.append(end)
        try:
            await end.wait()
        finally:
            self.starts.leave(number)

    def come(self, owner: str, count: int) -> list[asyncio.Task[None]]:
        return [asyncio.create_task(self.run(owner)) for _ in range(count)]

    async def until(self, count: int) -> None:
        async with asyncio.timeout(60):
            while len(self.began) < count:
                await asyncio.sleep(0)  # the loop is busy: only ends and age let others begin


def compute(seconds: float) -> None:
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


async def test_as_many_as_may_and_owners_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starts, "OLD_S", 1000.0)
    monkeypatch.setattr(starts, "PROMPT_S", -1.0)  # no pause of this process passes for an idle loop
    crowd = Crowd()
    tasks = [*crowd.come("flood", YOUNG + 5), *crowd.come("other", 2)]
    await crowd.until(YOUNG)
    compute(0.02)
    await asyncio.sleep(0)
    assert crowd.began == ["flood"] * YOUNG
    for number in range(3):
        crowd.ends[number].set()
        await crowd.until(YOUNG + number + 1)
    assert crowd.began[YOUNG:] == ["flood", "other", "flood"]
    for task in tasks:
        task.cancel()


async def test_nobody_waits_for_those_who_wait() -> None:
    """The loop is idle: all begin, though none has ended, and ever more at a time."""
    crowd = Crowd()
    tasks = crowd.come("slow", 10 * YOUNG)
    async with asyncio.timeout(60):
        while len(crowd.began) < len(tasks):
            await asyncio.sleep(0.001)
    assert not any(task.done() for task in tasks)
    for task in tasks:
        task.cancel()


async def test_on_a_busy_loop_who_is_old_does_not_count() -> None:
    crowd = Crowd()
    tasks = crowd.come("slow", 3 * YOUNG)
    await crowd.until(3 * YOUNG)  # it never sleeps meanwhile
    for task in tasks:
        task.cancel()


async def test_who_gives_up_leaves_the_turn_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starts, "OLD_S", 1000.0)
    monkeypatch.setattr(starts, "PROMPT_S", -1.0)  # no pause of this process passes for an idle loop
    crowd = Crowd()
    tasks = [*crowd.come("a", YOUNG), *crowd.come("b", 3), *crowd.come("c", 1)]
    await crowd.until(YOUNG)
    tasks[YOUNG].cancel()  # while it waits
    await asyncio.sleep(0)
    crowd.ends[0].set()
    await asyncio.sleep(0)
    tasks[YOUNG + 1].cancel()  # perhaps called already, and not yet running
    crowd.ends[1].set()
    crowd.ends[2].set()
    await crowd.until(YOUNG + 2)
    assert sorted(crowd.began[YOUNG:]) == ["b", "c"]
    for task in tasks:
        task.cancel()
