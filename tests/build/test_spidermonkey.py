"""JavaScript on SpiderMonkey: a real build by componentize-js, run in real sandboxes."""

from pathlib import Path

import pytest

from aerofn.build import build
from aerofn.errors import InvalidRequest
from tests.build.conftest import FUNCTIONS, Call, FakeHost, Functions, output

pytestmark = pytest.mark.timeout(600)  # the toolchain is large
SOURCE = FUNCTIONS / "streams.js"


@pytest.fixture(scope="module")
async def spidermonkey(functions: Functions, tmp_path_factory: pytest.TempPathFactory) -> Call:
    """The cases of functions/streams.js."""
    built = build(SOURCE, tmp_path_factory.mktemp("spidermonkey") / "streams.wasm", engine="spidermonkey")
    functions._loaded[SOURCE] = await functions.load_bytes(built.output.read_bytes())
    return Call(functions, SOURCE)


async def test_the_engine_has_the_web_platform(spidermonkey: Call) -> None:
    assert output(await spidermonkey("streams", text="a quick fox")) == ["A", "QUICK", "FOX"]
    digest, length = output(await spidermonkey("crypto"))
    assert (digest[:8], length) == ("ba7816bf", 36)
    assert output(await spidermonkey("timers")) == ["soon", "late"]
    assert output(await spidermonkey("url")) == ["https://a.example/b?x=1", 2, "hi"]


async def test_aerofns_own_names_are_there(spidermonkey: Call) -> None:
    host = FakeHost(query=(True, b'{"rows":[{"id":9007199254740993}],"rowCount":1}'))
    host.environment["KEY"] = "value"
    assert output(await spidermonkey("query", host)) == [{"id": "9007199254740993"}, "value"]
    assert host.queries == [("SELECT $1", "[1152921504606846976]")]
    assert host.logs == [("info", "found { id: '9007199254740993' }")]
    host = FakeHost(fetch=(True, {"status": 201, "headers": {}, "body": '{"b":2}'}))
    assert output(await spidermonkey("fetch", host)) == [201, {"b": 2}]
    assert host.requests[0]["body"] == '{"a":1}'


async def test_every_invocation_is_fresh(spidermonkey: Call) -> None:
    first, second = output(await spidermonkey("fresh")), output(await spidermonkey("fresh"))
    assert (first[0], second[0]) == (1, 1)
    assert first[1] != second[1]
    assert first[2] > 1_700_000_000_000
    assert first[3] == second[3]
    assert first[3][1] == 0


async def test_errors_point_at_the_authors_lines(spidermonkey: Call) -> None:
    error = (await spidermonkey("fail")).error
    assert error is not None
    assert (error.name, error.message) == ("RangeError", "too much")
    assert "at fail (streams.js:" in (error.stack or "")


def test_a_source_that_was_built_is_not_built_again_wherever_it_lies(
    spidermonkey: Call, tmp_path: Path
) -> None:
    moved = tmp_path / SOURCE.name
    moved.write_bytes(SOURCE.read_bytes())
    one, two = (build(source, tmp_path / "out.wasm", engine="spidermonkey") for source in (SOURCE, moved))
    assert one.digest == two.digest


def test_what_does_not_load_says_where(tmp_path: Path) -> None:
    source = tmp_path / "top.js"
    source.write_text(
        "export const a = 1;\n\nthrow new Error('at the top level');\nexport function handler() {}\n"
    )
    with pytest.raises(InvalidRequest) as failed:
        build(source, engine="spidermonkey")
    assert failed.value.message == "top.js:3:7: at the top level"
    with pytest.raises(InvalidRequest, match="there is no engine 'v8'"):
        build(source, engine="v8")
