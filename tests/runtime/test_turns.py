"""Turns on the loop: in order, no pass without an end, nobody forgotten."""

import asyncio
import time

import pytest

from aerofn.runtime.turns import CALLED, Turns


async def take(turns: Turns, order: list[int], number: int, seconds: float) -> None:
    if not turns.free():
        await turns.wait()
    order.append(number)
    time.sleep(seconds)


async def test_guests_run_in_order_and_the_loop_goes_on_between_them() -> None:
    turns, order, passes = Turns(asyncio.get_running_loop(), 5), [], 0
    tasks = [asyncio.create_task(take(turns, order, number, 0.002)) for number in range(3 * CALLED)]
    while not all(task.done() for task in tasks):
        passes += 1
        await asyncio.sleep(0)
    assert order == list(range(3 * CALLED))
    assert (
        passes >= len(tasks) / 4
    )  # a pass has room for three of them, and is over with the one that overruns it


async def test_nobody_who_comes_later_runs_before_those_who_wait() -> None:
    """Those who were called run a moment later: who comes in between must not take the pass before them."""
    turns, order = Turns(asyncio.get_running_loop(), 1), []
    early = [asyncio.create_task(take(turns, order, number, 0.002)) for number in range(CALLED // 2)]
    late = []
    while not all(task.done() for task in early):
        late.append(asyncio.create_task(take(turns, order, 1000 + len(late), 0.0)))
        await asyncio.sleep(0)
    await asyncio.gather(*late)
    assert order[: len(early)] == list(range(len(early)))
    assert order[len(early) :] == [1000 + number for number in range(len(late))]


async def test_who_comes_when_all_that_were_called_gave_up_is_called() -> None:
    turns, order = Turns(asyncio.get_running_loop(), 1), []
    first = asyncio.create_task(take(turns, order, 0, 0.002))
    waiting = [asyncio.create_task(take(turns, order, number, 0)) for number in range(1, 4)]
    await first
    await asyncio.sleep(0)  # the next pass has called them
    last = asyncio.create_task(take(turns, order, 4, 0))
    for task in waiting:
        task.cancel()
    await asyncio.wait_for(last, 60)
    await asyncio.wait(waiting)
    assert order[-1] == 4


async def test_who_gives_up_leaves_the_turn_to_others() -> None:
    turns, order = Turns(asyncio.get_running_loop(), 1), []
    tasks = [asyncio.create_task(take(turns, order, number, 0.002)) for number in range(4 * CALLED)]
    await asyncio.sleep(0)
    for task in tasks[1 : 3 * CALLED]:
        task.cancel()
    await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 60)
    assert order == [0, *range(3 * CALLED, 4 * CALLED)]


@pytest.mark.parametrize("takes_s", [0.004, 0.006])
async def test_a_crowd_of_one_owner_does_not_stand_before_anothers_first(takes_s: float) -> None:
    """Nor do those of the crowd who were called and came too late, also if each takes a whole pass."""
    turns, order = Turns(asyncio.get_running_loop(), 5), []

    async def run(owner: str) -> None:
        if not turns.free():
            await turns.wait(owner)
        order.append(owner)
        time.sleep(takes_s)

    crowd = [asyncio.create_task(run("crowd")) for _ in range(3 * CALLED)]
    while len(order) < 5:
        await asyncio.sleep(0)
    before = len(order)
    other = asyncio.create_task(run("other"))
    await asyncio.gather(other, *crowd)
    # behind two passes, of three runs each at the most, and not behind the 32 that were called before it came
    assert order.index("other") - before <= 8


async def test_a_crowd_that_gave_up_takes_no_passes() -> None:
    turns, order, passes = Turns(asyncio.get_running_loop(), 1), [], 0
    first = asyncio.create_task(take(turns, order, 0, 0.002))
    crowd = [asyncio.create_task(take(turns, order, number, 0)) for number in range(1, 10 * CALLED)]
    last = asyncio.create_task(take(turns, order, -1, 0))
    await first
    for task in crowd:
        task.cancel()
    while not last.done():
        passes += 1
        await asyncio.sleep(0)
    await asyncio.wait(crowd)
    assert order == [0, -1]
    assert passes <= 5


async def test_it_is_crowded_where_another_task_has_had_a_turn_in_the_pass() -> None:
    turns, seen = Turns(asyncio.get_running_loop(), 5), []

    async def run() -> None:
        seen.append(turns.crowded())
        assert turns.free()
        seen.append(turns.crowded())

    await asyncio.gather(run(), run())
    assert seen == [False, False, True, True]
    seen.clear()
    await asyncio.sleep(0)
    await asyncio.create_task(run())
    await asyncio.sleep(0)
    await run()
    assert not any(seen)
