"""Places under a flood: owners in turn, a queue that is full of one owner's, places neither lost nor given twice."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aerofn.db.places import Full, Places


async def passes(count: int = 3) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


class Crowd:
    """Those who ask for places, and the order in which they got their places."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.order: list[str] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def send(self, function: str, count: int = 1) -> list[asyncio.Task[None]]:
        tasks = [asyncio.create_task(self._enter(function)) for _ in range(count)]
        self.tasks += tasks
        await passes()
        return tasks

    async def _enter(self, function: str) -> None:
        await self.places.enter(function)
        self.order.append(function)


async def test_a_flood_of_one_function_does_not_make_another_wait_for_all_of_it() -> None:
    crowd = Crowd(Places(1, 1, 100))
    await crowd.send("flood", 50)
    await crowd.send("honest", 2)
    for _ in range(4):
        crowd.places.leave(crowd.order[-1])
        await passes()
    assert crowd.order == ["flood", "honest", "flood", "honest", "flood"]


async def test_one_function_never_holds_all_places() -> None:
    crowd = Crowd(Places(4, 3, 100))
    await crowd.send("flood", 50)
    assert crowd.order == ["flood"] * 3
    await crowd.send("honest")
    assert crowd.order[-1] == "honest"


async def test_a_full_queue_refuses_who_fills_it_and_not_who_comes_late() -> None:
    crowd = Crowd(Places(1, 1, 10))
    flood = await crowd.send("flood", 12)
    assert isinstance(flood[-1].exception(), Full)
    late = await crowd.send("late")
    assert crowd.places.waiting == 10
    assert isinstance(flood[-2].exception(), Full)  # the youngest of the flood gave way
    crowd.places.leave("flood")
    await passes()
    assert late[0].done()
    assert crowd.order == ["flood", "late"]


async def test_without_a_queue_who_finds_no_place_is_refused() -> None:
    places = Places(1, 1, 0)
    await places.enter("one")
    with pytest.raises(Full):
        await places.enter("two")
    places.leave("one")
    await places.enter("two")


@pytest.mark.parametrize("first", ["leave", "cancel"])
async def test_cancelled_in_the_moment_its_place_comes(first: str) -> None:
    crowd = Crowd(Places(1, 1, 10))
    await crowd.send("a")
    (waiting,) = await crowd.send("b")
    (third,) = await crowd.send("c")
    steps = [waiting.cancel, lambda: crowd.places.leave("a")]
    for step in steps if first == "cancel" else reversed(steps):
        step()
    await passes()
    assert waiting.cancelled()
    assert third.done()
    crowd.places.leave("c")
    assert crowd.places.waiting == 0
    await asyncio.wait_for(crowd.places.enter("b"), 60)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["enter", "leave", "cancel"])), max_size=60),
    st.integers(1, 4), st.integers(1, 4), st.integers(0, 6),
)  # fmt: skip
async def test_whatever_happens_no_place_is_lost_or_given_twice(
    steps: list[tuple[str, str]], size: int, of_one: int, waiting: int
) -> None:
    places = Places(size, of_one, waiting)
    held: list[str] = []
    tasks: list[tuple[str, asyncio.Task[None]]] = []

    async def enter(function: str) -> None:
        await places.enter(function)
        held.append(function)

    for function, step in steps:
        mine = [task for name, task in tasks if name == function and not task.done()]
        if step == "enter":
            tasks.append((function, asyncio.create_task(enter(function))))
        elif step == "leave" and function in held:
            held.remove(function)
            places.leave(function)
        elif step == "cancel" and mine:
            mine[0].cancel()
        if len(steps) % 2:
            await passes()
        assert len(held) <= size
        assert all(held.count(name) <= of_one for name in "abc")
        assert places.waiting <= waiting
    for _ in range(len(steps) + 1):  # all who wait get their turn
        await passes()
        for function in held:
            places.leave(function)
        held.clear()
    await asyncio.gather(*(task for _, task in tasks), return_exceptions=True)
    assert places.waiting == 0
    for _ in range(min(size, of_one)):
        await asyncio.wait_for(places.enter("last"), 60)
