"""Places: never more than there are, never more than a share, nobody's turn lost."""

import asyncio
import random

import pytest

from aerofn.db.places import Places


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_an_owner_has_its_share_and_others_the_rest() -> None:
    places = Places(3, 2)
    for owner in ("a", "a", "b"):
        await places.enter(owner, 1)
    assert places.taken == 3
    with pytest.raises(TimeoutError):
        await places.enter("c", 0.01)
    places.leave("a")
    await places.enter("c", 1)
    with pytest.raises(TimeoutError):
        await places.enter("a", 0.01)


async def test_those_who_wait_are_called_owner_by_owner() -> None:
    places, order = Places(1, 1), []

    async def use(owner: str) -> None:
        await places.enter(owner, 5)
        order.append(owner)
        await asyncio.sleep(0)
        places.leave(owner)

    await places.enter("x", 1)
    waiting = [asyncio.create_task(use(owner)) for owner in "aaabbc"]
    await settle()
    places.leave("x")
    await asyncio.gather(*waiting)
    assert "".join(order) == "abcaba"


async def test_a_turn_of_one_who_left_is_the_next_ones() -> None:
    places = Places(1, 1)
    await places.enter("x", 1)
    first, second = (asyncio.create_task(places.enter(owner, 5)) for owner in "ab")
    await settle()
    places.leave("x")  # the first has its turn
    first.cancel()  # and leaves before it knows
    await asyncio.wait_for(second, 60)
    assert places.taken == 1


async def test_a_share_may_be_larger_than_all() -> None:
    places = Places(1, 8)
    await places.enter("a", 1)
    with pytest.raises(TimeoutError):
        await places.enter("a", 0.01)
    places.leave("a")
    assert places.taken == 0


async def test_at_random_nothing_is_lost_and_nothing_is_doubled() -> None:
    draw = random.Random(5)
    places, held = Places(4, 3), dict.fromkeys("abc", 0)

    async def use(owner: str) -> None:
        try:
            await places.enter(owner, draw.choice((0.0005, 1)))
        except TimeoutError:
            return
        held[owner] += 1
        assert held[owner] <= 3 and sum(held.values()) <= 4
        try:
            await asyncio.sleep(draw.random() / 1000)
        finally:
            held[owner] -= 1
            places.leave(owner)

    tasks = [asyncio.create_task(use(draw.choice("aaabc"))) for _ in range(400)]
    for task in draw.sample(tasks, 80):
        await asyncio.sleep(0)
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert places.taken == 0
    await asyncio.wait_for(asyncio.gather(places.enter("a", 1), places.enter("b", 1)), 60)
