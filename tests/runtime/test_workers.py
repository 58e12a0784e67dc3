"""Worker threads: functions take turns, whatever one of them floods; what frees memory goes first."""

import asyncio
import threading
from collections.abc import Callable

from sandbox_kit import FakeHost, Sandbox, do

from aerofn.model import Limits, Outcome
from aerofn.runtime import Component
from aerofn.runtime.workers import Workers

FLOOD = 40


class Held:
    """One worker, held until `release`, and the order of what it runs after that."""

    def __init__(self) -> None:
        self.workers = Workers(1, asyncio.get_running_loop())
        self.order: list[str] = []
        self._started, self._go = asyncio.Event(), threading.Event()
        self._loop = asyncio.get_running_loop()
        self._first = asyncio.create_task(self.workers.run("holder", self._hold))

    async def __aenter__(self) -> "Held":
        await self._started.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.release()
        await self._first
        await asyncio.to_thread(self.workers.close)

    def release(self) -> None:
        self._go.set()

    def piece(self, name: str) -> Callable[[], bool]:
        return lambda: self.order.append(name) is None

    def _hold(self) -> bool:
        self._loop.call_soon_threadsafe(self._started.set)
        return self._go.wait(60)


async def test_owners_take_turns_and_what_frees_goes_first() -> None:
    async with Held() as held:
        names = [f"flood {number}" for number in range(4)] + ["other 0", "other 1", "third 0"]
        waiting = [asyncio.create_task(held.workers.run(name.split()[0], held.piece(name))) for name in names]
        await asyncio.sleep(0)
        held.workers.submit(held.piece("release"))
        held.release()
        assert all(await asyncio.gather(*waiting))
        assert held.order == [
            "release", "flood 0", "other 0", "third 0", "flood 1", "other 1", "flood 2", "flood 3",
        ]  # fmt: skip


async def test_who_gives_up_has_no_turn() -> None:
    async with Held() as held:
        gone = [asyncio.create_task(held.workers.run("flood", held.piece("gone"))) for _ in range(FLOOD)]
        last = asyncio.create_task(held.workers.run("flood", held.piece("last")))
        await asyncio.sleep(0)
        for task in gone:
            task.cancel()
        await asyncio.wait(gone)
        held.release()
        assert await last
        assert held.order == ["last"]


async def test_a_flood_of_long_guests_leaves_another_function_its_turns(
    sandbox: Sandbox, js_guest: Component
) -> None:
    """The other needs twice the time of one of the flood: first come, first served, all of them would end before it."""
    run, host = sandbox.runtime.run, FakeHost()
    limits = Limits(timeout_ms=120_000)
    warm = await run(js_guest, do("work", rounds=100_000), host, limits)
    rounds = int(100_000 * 25 / max(warm.usage.cpu_ms, 0.1))  # about 25 ms of a processor's time

    async def one(owner: str, factor: int) -> Outcome:
        return (await run(js_guest, do("work", rounds=rounds * factor), host, limits, owner)).outcome

    flood = [asyncio.create_task(one("flood", 1)) for _ in range(FLOOD)]
    other = await one("other", 2)
    ended = sum(task.done() for task in flood)
    assert other is Outcome.SUCCESS
    assert ended < FLOOD / 2
    assert set(await asyncio.gather(*flood)) == {Outcome.SUCCESS}
