"""Host calls that carry too much: refused by their size, or cut, before any of it becomes a Python object."""

from pathlib import Path

import pytest
from sandbox_kit import FakeHost, Sandbox, do

from aerofn.model import Outcome
from aerofn.runtime import Component, RuntimeConfig

_config = RuntimeConfig(cache_dir=Path())
QUERY, REQUEST = _config.max_query_bytes, _config.max_request_bytes
LOG_BYTES = 256 << 10  # as in calls.c


def deeds() -> dict[str, tuple[bytes, str, int]]:
    return {
        "statement": (
            do("query", sql="x" * (QUERY - 1)),
            "statement and its parameters are too large",
            QUERY,
        ),
        "parameters": (
            do("query", params=["x" * QUERY]),
            "statement and its parameters are too large",
            QUERY,
        ),
        "request": (do("fetch", url="x" * REQUEST), "the requests are too large together", REQUEST),
    }


@pytest.mark.parametrize("deed", ["statement", "parameters", "request"])
async def test_what_is_too_large_is_an_error_for_the_guest(
    sandbox: Sandbox, js_guest: Component, deed: str
) -> None:
    event, message, limit = deeds()[deed]
    host = FakeHost()
    run = await sandbox.run(js_guest, event, host, memory_mb=512)
    assert run.outcome is Outcome.FUNCTION_ERROR
    assert run.error and message in run.error.message
    assert f"{limit:,}" in run.error.message
    assert (host.queries, run.usage.host_calls) == ([], 1)


async def test_what_is_just_not_too_large_arrives(sandbox: Sandbox, js_guest: Component) -> None:
    host = FakeHost()
    run = await sandbox.run(js_guest, do("query", sql="x" * (QUERY - 2)), host, memory_mb=512)
    assert run.outcome is Outcome.SUCCESS
    assert [(len(sql), params) for sql, params in host.queries] == [(QUERY - 2, "[]")]


async def test_a_key_that_none_can_have_ends_the_guest(sandbox: Sandbox, js_guest: Component) -> None:
    assert (await sandbox.run(js_guest, do("env", key="x" * (64 << 10)))).outcome is Outcome.SUCCESS
    run = await sandbox.run(js_guest, do("env", key="x" * (64 << 10) + "x"))
    assert run.outcome is Outcome.TRAP
    assert run.error and run.error.message == "`env` was asked for a key of more than 64 KiB"


@pytest.mark.parametrize("char", ["a", "é", "€", "😀"])
@pytest.mark.parametrize("before", range(4))
async def test_a_log_line_is_cut_between_characters(
    sandbox: Sandbox, js_guest: Component, char: str, before: int
) -> None:
    text, host = "a" * before + char * LOG_BYTES, FakeHost()
    run = await sandbox.run(js_guest, do("log", text=text, level=text), host)
    assert run.outcome is Outcome.SUCCESS
    kept = text[: before + (LOG_BYTES - before) // len(char.encode())]
    assert host.logs == [(kept, kept)]


async def test_a_log_line_of_just_as_much_is_whole(sandbox: Sandbox, js_guest: Component) -> None:
    host = FakeHost()
    await sandbox.run(js_guest, do("log", text="a" * LOG_BYTES), host)
    assert host.logs == [("info", "a" * LOG_BYTES)]
