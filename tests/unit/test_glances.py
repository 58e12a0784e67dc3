"""Answers that are shared for a moment: asked once by whom many ask, again when time is up, never after a failure."""

import asyncio

import pytest

from aerofn.db.glances import Glances


class Question:
    """Answers how often it was asked; waits for `gate` if there is one."""

    def __init__(self) -> None:
        self.asked = 0
        self.gate: asyncio.Event | None = None
        self.failing = False

    async def __call__(self) -> int:
        self.asked += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.failing:
            raise ValueError("no answer")
        return self.asked


async def test_many_at_once_ask_once() -> None:
    glances, question = Glances(), Question()
    question.gate = asyncio.Event()
    asking = [asyncio.create_task(glances.at("q", question)) for _ in range(50)]
    await asyncio.sleep(0)
    asking[0].cancel()  # its client has gone: the others still get their answer
    question.gate.set()
    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert answers[1:] == [1] * 49
    assert await glances.at("q", question) == 1
    assert await glances.at("another", question) == 2


async def test_it_is_asked_again_when_forgotten_or_out_of_date(monkeypatch: pytest.MonkeyPatch) -> None:
    glances, question = Glances(), Question()
    assert await glances.at("q", question) == 1
    glances.forget()
    assert await glances.at("q", question) == 2
    monkeypatch.setattr("aerofn.db.glances._LEAST_S", -1e9)
    monkeypatch.setattr("aerofn.db.glances._SHARE", -1e9)
    glances.forget()
    assert [await glances.at("q", question) for _ in range(3)] == [3, 4, 5]


async def test_a_failure_is_told_to_all_who_wait_and_not_kept() -> None:
    glances, question = Glances(), Question()
    question.failing = True
    answers = await asyncio.gather(*(glances.at("q", question) for _ in range(3)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [ValueError] * 3
    question.failing = False
    assert await glances.at("q", question) == 2


async def test_it_holds_no_more_than_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aerofn.db.glances._MOST", 3)
    glances, question = Glances(), Question()
    for number in range(10):
        await glances.at(number, question)
    assert len(glances._kept) == 3
    assert await glances.at(9, question) == 10


async def test_closing_ends_what_is_being_asked() -> None:
    glances, question = Glances(), Question()
    question.gate = asyncio.Event()
    asking = asyncio.create_task(glances.at("q", question))
    await asyncio.sleep(0)
    await glances.close()
    with pytest.raises(asyncio.CancelledError):
        await asking
