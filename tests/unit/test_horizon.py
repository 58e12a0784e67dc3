"""Where looks for events begin, and when a node does without wakeups: two choices by what was seen."""

import math

from aerofn.db.horizon import BEGINNING, Found, Horizon
from aerofn.dispatch.wakeups import Wakeups


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def look(horizon, seconds, due=(), *, filled=False, priority=0):
    place = horizon.place()
    found = [Found(at, number, priority) for number, at in enumerate(due, 1)]
    horizon.looked(seconds, found, filled=filled)
    return place


def test_quick_looks_always_begin_at_the_beginning():
    horizon = Horizon(Clock())
    assert [look(horizon, 0.001, [5.0], filled=True) for _ in range(3)] == [BEGINNING] * 3
    # What a look takes for the events it brings is not held against it.
    assert [look(horizon, 0.02, [5.0] * 100, filled=True) for _ in range(3)] == [BEGINNING] * 3
    assert look(horizon, 0.02, [5.0]) == BEGINNING
    assert look(horizon, 0.001) != BEGINNING


def test_slow_looks_go_on_where_the_last_one_found_something_and_now_and_then_from_the_beginning():
    clock = Clock()
    horizon = Horizon(clock)
    assert look(horizon, 0.5, [50.0, 50.0], filled=True, priority=7) == BEGINNING
    assert look(horizon, 0.001, [None, 80.0, 70.0], filled=True) == (50.0, 1, [0, 7])
    assert look(horizon, 0.001, [90.0]) == (70.0, 3, [0, 7])
    recent = (math.inf, 0, [0, 7])
    assert look(horizon, 0.001) == recent  # nothing more: what is recent is enough
    clock.now += 4.9
    assert look(horizon, 0.001) == recent
    clock.now += 0.2  # ten times what the last one from the beginning took
    assert look(horizon, 0.001) == BEGINNING
    assert look(horizon, 0.001) == BEGINNING  # which was quick again


def test_events_that_were_put_back_are_looked_for_at_once():
    horizon = Horizon(Clock())
    look(horizon, 0.5, [50.0], filled=True)
    horizon.forget()
    assert look(horizon, 0.5) == BEGINNING


class Line:
    def __init__(self):
        self.quiet = False
        self.refuses = False
        self.waiting = True

    async def crowded(self):
        return self.waiting

    async def ask(self, *, quiet):
        if self.refuses:
            return False
        self.quiet = quiet
        return True


async def a_second(wakeups, clock, heard=0, found=0):
    for _ in range(heard):
        wakeups.heard()
    wakeups.found(found)
    clock.now += 1.0
    return await wakeups.longest(1.0)


async def test_where_writers_wait_for_each_other_a_node_looks_by_itself_until_little_is_found():
    clock, line = Clock(), Line()
    wakeups = Wakeups(line, clock)
    assert await a_second(wakeups, clock, heard=5, found=5000) == 1.0
    line.waiting = False
    assert await a_second(wakeups, clock, heard=500) == 1.0  # many, but nobody waits
    line.waiting = True
    assert await a_second(wakeups, clock, heard=500) == 0.01
    assert line.quiet
    assert await a_second(wakeups, clock, found=200) == 0.01
    assert await wakeups.longest(0.0) == 0.0
    line.refuses = True  # not had, for the moment: it goes on looking
    assert await a_second(wakeups, clock, found=3) == 0.01
    line.refuses = False
    # Asked to be told again: two more looks, for those who had just seen that nobody asks.
    assert await a_second(wakeups, clock, found=3) == 0.0
    assert [await wakeups.longest(1.0) for _ in range(2)] == [0.05, 1.0]
    assert not line.quiet


async def test_a_burst_after_a_long_silence_counts_by_itself():
    clock, line = Clock(), Line()
    wakeups = Wakeups(line, clock)
    clock.now += 1000
    assert await a_second(wakeups, clock, heard=300) == 1.0
    assert await a_second(wakeups, clock, heard=300) == 0.01
