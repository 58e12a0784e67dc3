"""Python functions: real builds by componentize-py, run in real sandboxes with a host that answers from memory."""

import asyncio
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aerofn.build import build
from aerofn.build.staging import SDK, staged
from aerofn.errors import InvalidRequest
from aerofn.model import Outcome
from aerofn.runtime.tier import VAST_SLOTS
from tests.build.conftest import FUNCTIONS, Call, FakeHost, Functions, output

pytest.importorskip("componentize_py")
pytestmark = pytest.mark.timeout(300)  # a build takes some 20 seconds, more beside others
SOURCE = FUNCTIONS / "python" / "language-cases.py"
EXAMPLE = Path(__file__).parents[2] / "examples" / "order-total" / "order_total.py"


@pytest.fixture
def python(functions: Functions) -> Call:
    """The cases of functions/python/language-cases.py."""
    return Call(functions, SOURCE)


async def test_numbers_keep_their_digits(python: Call) -> None:
    text = '{"trigger":"invoke","payload":{"case":"echo","price":1.10,"big":12345678901234567890123,"e":1e2}}'
    component = await python._functions.load(SOURCE)
    run = await python._functions.run_text(component, text)
    assert run.output == b'{"case":"echo","price":1.10,"big":12345678901234567890123,"e":1E+2}'
    assert output(await python("types", a=1, b=1.5, c="x", d=[], e=None, f=True)) == {
        "case": "str", "a": "int", "b": "Decimal", "c": "str", "d": "list", "e": "NoneType", "f": "bool",
    }  # fmt: skip
    results = await python("results")
    assert results.output is not None
    assert b'"price":1.10,"big":1180591620717411303424,"nan":null,"7":[1E+2]' in results.output
    assert output(results)["bytes"] == "\\x01ab"


async def test_queries(python: Call) -> None:
    host = FakeHost(query=(True, b'{"rows":[{"price":1.10,"id":9007199254740993}],"rowCount":1}'))
    run = await python("query", host, sql="select $1", params=[1])
    assert run.output == (
        b'{"rows":[{"price":1.10,"id":9007199254740993}],"row_count":1,'
        b'"first":{"price":1.10,"id":9007199254740993},"length":1}'
    )
    assert host.queries == [("select $1", "[1]")]
    host = FakeHost()
    output(await python("parameters", host))
    assert host.queries[0][1] == (
        '["2026-02-03","2026-02-03T04:05:06+00:00","\\\\x00ff",1180591620717411303424,null,"NaN","-Infinity",1.5,1.10,'
        '"é",{"at":"2026-02-03","price":0.10},[1,null],[true],"00000000-0000-0000-0000-000000000001"]'
    )
    failing = FakeHost(query=(False, {"code": "23505", "message": "twice", "constraint": "one"}))
    error = output(await python("query_error", failing))
    assert (error["code"], error["text"], error["constraint"], error["hint"]) == (
        "23505",
        "twice",
        "one",
        None,
    )
    assert (await python("bad_parameters")).error.name == "TypeError"
    assert output(await python("half_characters", host)) == "?"


async def test_all_that_is_printed_or_logged_is_in_the_log(python: Call) -> None:
    host = FakeHost()
    output(await python("logs", host))
    *lines, trace, rest = host.logs
    assert lines == [
        ("info", "printed 1"),
        ("debug", "a b"),
        ("warn", "careful"),
        ("error", "library: from a library"),
        ("warn", "to stderr"),
    ]
    assert trace[0] == "error"
    assert trace[1].startswith(
        'it failed\nTraceback (most recent call last):\n  File "language-cases.py", line'
    )
    assert rest == ("info", "no end")


async def test_a_log_line_that_cannot_be_formatted_ends_nothing(python: Call) -> None:
    host = FakeHost()
    assert output(await python("logs_nonsense", host)) == "went on"
    assert host.logs[0] == ("warn", "--- Logging error ---")


async def test_environment_and_requests(python: Call) -> None:
    host = FakeHost(fetch=(True, {"status": 201, "headers": {"X-B": "2"}, "body": '{"a":1}'}))
    host.environment["KEY"] = "value"
    assert output(await python("environment", host)) == ["value", None, "else", True, False]
    assert output(await python("requests", host)) == [201, True, "2", {"a": 1}, '{"a":1}', 7]
    got, posted, put, patched = host.requests
    assert (patched["body"], patched["isBase64Encoded"], patched["timeoutMs"]) == ("/w==", True, 1500)
    assert (got["method"], got["headers"], got["body"]) == ("GET", {"x-a": "1"}, None)
    assert (posted["headers"], posted["body"]) == ({"content-type": "application/json"}, '{"price":1.10}')
    assert (put["method"], put["headers"], put["body"]) == ("PUT", {}, "text")
    planned = FakeHost(fetch=(True, {"idempotencyKey": "k"}))
    assert output(await python("later", planned)) == "k"
    assert planned.requests[0]["afterCommit"] is True
    denied = FakeHost(fetch=(False, {"code": "egress_denied", "message": "not allowed"}))
    assert output(await python("refused", denied)) == [
        "egress_denied",
        "GET https://refused.example/ failed: not allowed",
    ]


async def test_every_invocation_is_fresh(python: Call) -> None:
    first, second = output(await python("fresh")), output(await python("fresh"))
    assert (first[0], second[0]) == (1, 1)
    assert first[1] != second[1]
    assert first[2] != second[2]
    assert first[3] > 1_700_000_000
    assert first[4] == second[4]
    assert first[5] == "at the top level"


async def test_more_at_once_than_there_are_slots_that_keep_their_pages(
    python: Call, functions: Functions
) -> None:
    component = await functions.load(SOURCE)
    assert component.tier.name == "vast"
    for _ in range(2):  # the second time, slots have been used
        runs = [python("query", FakeHost(), sql="select 1", params=[]) for _ in range(VAST_SLOTS + 4)]
        assert {run.outcome for run in await asyncio.gather(*runs)} == {Outcome.SUCCESS}
        fresh = await asyncio.gather(*(python("fresh") for _ in range(VAST_SLOTS + 4)))
        assert {output(run)[0] for run in fresh} == {1}


async def test_modules_and_packages_beside_it(python: Call) -> None:
    assert output(await python("helped")) == ["hello from a file", 2026]


async def test_errors_point_at_the_authors_lines(python: Call) -> None:
    error = (await python("raises")).error
    assert error is not None
    assert (error.name, error.message, error.retry) == ("ZeroDivisionError", "division by zero", True)
    assert error.stack is not None
    assert 'File "language-cases.py", line' in error.stack
    assert 'File "helpers/__init__.py", line 9, in fail\n    return 1 / number' in error.stack
    assert "_entry.py" not in error.stack
    assert "asyncio" not in error.stack
    chained = (await python("chained")).error
    assert chained is not None
    assert (chained.name, chained.retry) == ("LookupError", False)
    assert "direct cause of the following exception" in (chained.stack or "")
    group = (await python("raises_group")).error
    assert group is not None
    assert 'File "helpers/__init__.py", line 9, in fail' in (group.stack or "")
    unreadable = (await python("raises_unreadable")).error
    assert unreadable is not None
    assert (unreadable.name, unreadable.message) == ("Unreadable", "what the function raised cannot be read")
    exits = (await python("exits")).error
    assert exits is not None
    assert exits.name == "SystemExit"
    for case, text in (("odd_result", "object is no JSON value"), ("ring", "contains itself")):
        odd = (await python(case)).error
        assert odd is not None
        assert text in odd.message


async def test_async_handlers_and_tasks(python: Call) -> None:
    together = await python("together")
    assert output(together) == [4, 2, 0]
    assert together.usage.wall_ms >= 10
    stuck = (await python("stuck")).error
    assert stuck is not None
    assert stuck.message == "the handler waits for something that nothing will ever settle"


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"trigger": "http", "request": {"body": {"a": 1}}}, {"a": 1}),
        ({"trigger": "http", "request": {"body": None}}, {}),
        ({"trigger": "row", "record": {"id": 1}, "old_record": None}, {"id": 1}),
        ({"trigger": "row", "record": None, "old_record": {"id": 2}}, {"id": 2}),
        ({"trigger": "schedule"}, {}),
        (
            {
                "trigger": "row",
                "batch": [
                    {"trigger": "row", "record": {"id": 1}},
                    {"trigger": "row", "old_record": {"id": 2}},
                ],
            },
            [{"id": 1}, {"id": 2}],
        ),
    ],
)
def test_the_first_argument(event: dict[str, Any], expected: Any) -> None:
    """As in JavaScript; in this process, for it is plain Python."""
    text = (SDK / "aerofn" / "event.py").read_text()
    names: dict[str, Any] = {}
    exec(compile(text, "event.py", "exec"), names)
    assert names["input_of"](event) == expected
    whole = names["Event"](event)
    assert [one.trigger for one in whole.batch or []] == ["row"] * len(event.get("batch", []))
    payload = names["Event"](payload={"input": 1, "batch": "b"}).payload
    assert (payload.input, payload.batch) == (1, "b")


async def test_the_event(python: Call) -> None:
    event = {"trigger": "invoke", "payload": {"case": "event"}, "caller": {"role": "anon"}, "attempt": 2}
    assert output(await python.event(event)) == ["invoke", "anon", None, True, 2]


def test_the_same_source_is_the_same_component(tmp_path: Path, order_total: Path) -> None:
    elsewhere = tmp_path / "another place" / EXAMPLE.name
    elsewhere.parent.mkdir()
    shutil.copy(EXAMPLE, elsewhere)
    (elsewhere.parent / "unused.py").write_text("raise SystemExit")
    told: list[str] = []
    assert build(elsewhere, progress=told.append).output.read_bytes() == order_total.read_bytes()
    assert told == []  # it was there


async def test_the_example(functions: Functions, order_total: Path) -> None:
    component = await functions.load_bytes(order_total.read_bytes())
    items = b'{"rows":[{"price":19.99,"quantity":3},{"price":0.10,"quantity":1}],"rowCount":2}'
    host = FakeHost(query=(True, items))
    event = {"trigger": "row", "type": "INSERT", "record": {"id": 7, "vat": 0.19}}
    run = await functions.run(component, event, host)
    assert run.output == b'{"order":7,"total":71.48}', run.error
    assert host.queries[1][1] == "[7,71.48]"
    empty = await functions.run(component, event, FakeHost())
    assert empty.error is not None
    assert (empty.outcome, empty.error.name, empty.error.retry) == (
        Outcome.FUNCTION_ERROR,
        "EmptyOrder",
        False,
    )


def test_what_does_not_load_says_where(author: Any) -> None:
    source = author(
        "from aerofn import db\n\nROWS = db.query('select 1')\n\n\ndef handler(event):\n    pass\n", "top.py"
    )
    with pytest.raises(InvalidRequest) as failed:
        build(source)
    assert failed.value.message.startswith("top.py:3: RuntimeError: db.query cannot be used at the top level")
    assert failed.value.code == "build_failed"


def test_what_is_no_function_says_so_at_once(author: Any) -> None:
    with pytest.raises(InvalidRequest) as missing:
        build(author("import json, requests\n\ndef handler(event): ...\n", "needs.py"))
    assert missing.value.message == "needs.py:1: there is no module `requests`"
    assert "requirements.txt" in (missing.value.hint or "")


def test_packages_with_native_code_are_refused(author: Any, tmp_path: Path) -> None:
    author("psutil==7.0.0\n", "requirements.txt")
    with pytest.raises(InvalidRequest) as refused:
        build(author("import psutil\n\ndef handler(event): ...\n", "native.py"))
    assert "pure Python" in (refused.value.hint or "")


def test_only_what_is_imported_goes_in(author: Any) -> None:
    source = author("import one\nfrom two.three import x\n", "fn.py")
    for name in (
        "one.py",
        "unused.py",
        "test_one.py",
        "two/__init__.py",
        "two/three.py",
        "two/test_three.py",
    ):
        author("", name)
    with staged(source, None) as stage:
        names = {str(path.relative_to(stage.app)) for path in stage.app.rglob("*") if path.is_file()}
    assert names == {"aerofn_function.py", "fn.py", "one.py", "two/__init__.py", "two/three.py"}


def test_the_types_of_the_sdk(tmp_path: Path) -> None:
    """The package is typed, and tells an author what is wrong."""
    (tmp_path / "typed.py").write_text(
        "from aerofn import Event, PgError, db, env, http, log\n\n\n"
        "def handler(order: dict[str, int], event: Event) -> dict[str, object]:\n"
        "    [row] = db.query('select $1', [order['id']])\n"
        "    log.info('%s %s', row['id'], event.attempt + 1)\n"
        "    answer = http.post('https://a.example/', {'id': 1})\n"
        "    return {'ok': answer.ok, 'key': env.get('KEY', '').upper(), 'role': event.caller.role}\n\n\n"
        "db.query(1)\nenv['KEY'].nothing()\n"
    )
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--no-error-summary",
        "--cache-dir",
        tmp_path / "cache",
    ]
    done = subprocess.run(
        [*command, "typed.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={"MYPYPATH": str(SDK)},
        check=False,
    )
    lines = [re.sub(r"^typed.py:(\d+):.*\[(.*)\]$", r"\1 \2", line) for line in done.stdout.splitlines()]
    assert lines == ["11 arg-type", "12 attr-defined"], done.stdout + done.stderr


def test_it_says_how_to_install_the_toolchain(author: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(InvalidRequest) as missing:
        build(author("def handler(event): ...", "fn.py"))
    assert missing.value.code == "toolchain_missing"
    assert "pip install 'aerofn[python]'" in (missing.value.hint or "")


@pytest.fixture(scope="module")
def order_total(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example's component."""
    return build(EXAMPLE, tmp_path_factory.mktemp("example") / "order_total.wasm").output
