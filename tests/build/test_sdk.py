"""What a function's code can rely on, each promise tried in a real component (functions/*.js)."""

import json
import re
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aerofn.dispatch.told import body_found, told
from aerofn.model import Outcome, Run
from tests.build.conftest import Call, FakeHost, Functions, output


def error_of(run: Run) -> Any:
    assert run.outcome is Outcome.FUNCTION_ERROR
    assert run.error is not None
    return run.error


# -- the handler and its input -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"trigger": "http", "request": {"body": {"case": "echo"}}}, {"case": "echo"}),
        (
            {"trigger": "row", "type": "INSERT", "record": {"case": "echo"}, "old_record": None},
            {"case": "echo"},
        ),
        (
            {"trigger": "row", "type": "DELETE", "record": None, "old_record": {"case": "echo"}},
            {"case": "echo"},
        ),
        ({"trigger": "schedule", "payload": {"case": "echo"}}, {"case": "echo"}),
    ],
)
async def test_input(language: Call, event: dict[str, Any], expected: Any) -> None:
    assert output(await language.event(event)) == expected


async def test_event_is_the_second_argument(language: Call) -> None:
    assert output(await language("eventOf")) == {"trigger": "invoke", "payload": {"case": "eventOf"}}


async def test_results(language: Call) -> None:
    assert output(await language("nothing")) is None
    run = await language("returnBig")
    assert run.output == (
        b'{"big":1180591620717411303424,"bytes":"\\\\x01ab","at":"1970-01-01T00:00:00.000Z","nan":null}'
    )


async def test_every_invocation_starts_from_the_top_levels_end(language: Call) -> None:
    for _ in range(2):
        assert output(await language("fresh")) == [1, "at the top level"]


async def test_errors(language: Call) -> None:
    error = error_of(await language("throwError"))
    assert (error.name, error.message, error.retry) == ("RangeError", "too much", False)
    assert re.fullmatch(
        r"RangeError: too much\n    at throwError \(language\.js:\d+:\d+\)\n    at handler \(language\.js:\d+:\d+\)",
        error.stack,
    )
    text = error_of(await language("throwText"))
    assert (text.name, text.message, text.stack, text.retry) == ("Error", "just text", None, True)
    odd = error_of(await language("throwObject"))
    assert (odd.name, odd.message, odd.retry) == ("Odd", "an object", False)
    assert "\nCaused by: Error: inner\n    at " in error_of(await language("throwCause")).stack


async def test_an_error_that_cannot_be_told_is_one(language: Call) -> None:
    error = error_of(await language("throwUnreadable"))
    assert (error.name, error.message) == ("Error", "what the function threw cannot be read")
    assert error_of(await language("throwCauses")).message == "round"


async def test_an_invocation_has_one_outcome(language: Call) -> None:
    """What comes first: a sandbox that is given two ends with a trap."""
    assert error_of(await language("resolveAndThrow")).message == "unreadable"


async def test_rings(language: Call) -> None:
    assert error_of(await language("throwRing")).message == "[object Object]"
    assert error_of(await language("returnRing")).name == "TypeError"


async def test_what_is_nested_too_deep_ends_with_words_that_say_so(language: Call) -> None:
    assert (await language("returnDeep", deep=1500)).outcome is Outcome.SUCCESS
    run = await language("returnDeep", deep=10_000)
    assert run.outcome is Outcome.TRAP
    assert run.error is not None
    assert "nested too deep" in run.error.message


async def test_half_characters_break_nothing(language: Call) -> None:
    host = FakeHost()
    assert output(await language("halfCharacters", host)) == ["\ud800", None]
    assert host.logs == [("info", "\ufffd")]
    assert host.queries == [("select '\ufffd'", '["\\ud800"]')]


async def test_handler_that_never_ends_waiting(language: Call) -> None:
    assert (
        error_of(await language("stuck")).message
        == "the handler waits for a promise that nothing will ever settle"
    )


# -- db ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("literal", "expected"),
    [
        ("9007199254740992", 9007199254740992),
        ("9007199254740993", "9007199254740993"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("9223372036854775807", "9223372036854775807"),
        ("0.1", 0.1),
        ("0.10000000000000000000", 0.1),
        ("123456789.123456789123", "123456789.123456789123"),
        ("1.50000000000000000000", 1.5),
        ("100000000000000000000000", 1e23),
        ("0.000012345678901234568", 1.2345678901234568e-05),
        ("1.7976931348623157e+308", 1.7976931348623157e308),
        ("-0.00000000000000000000", 0),
        ('"12345678901234567890"', "12345678901234567890"),
        ('[1, 12345678901234567891, {"n": 3}]', [1, "12345678901234567891", {"n": 3}]),
    ],
)
async def test_numbers_keep_their_digits(language: Call, literal: str, expected: Any) -> None:
    answer = b'{"rows":[{"value":%s}],"rowCount":1}' % literal.encode()
    result = output(await language("query", FakeHost(query=(True, answer)), sql="select", params=[]))
    assert result["rows"] == [{"value": expected}]
    assert isinstance(result["rows"][0]["value"], type(expected)) or isinstance(expected, int | float)


async def test_an_event_keeps_its_digits_whether_the_host_has_looked_for_them_or_not(
    author: Callable[..., Path], functions: Functions
) -> None:
    component = await functions.load(author("export const handler = (input) => input;"))
    kept = {
        "12345678901234567891": '"12345678901234567891"',
        "0.10000000000000000": "0.1",
        "17": "17",
        "1.5": "1.5",
    }
    for number, expected in kept.items():
        event = b'{"trigger":"invoke","payload":[%s]}' % number.encode()
        for text in (event, told(event)):
            assert (await functions.run_text(component, text.decode())).output == b"[%s]" % expected.encode()


@pytest.mark.parametrize(
    "body",
    [
        {"n": [1, {"deep": "}}"}]},
        None,
        'text that says "body": and }} in it',
        {"body": {"body": 1}},
        {"digits": 12345678901234567891},
    ],
)
@pytest.mark.parametrize("header", ["accept", "body"])
async def test_an_http_event_is_the_same_whether_its_body_was_found_first_or_not(
    author: Callable[..., Path], functions: Functions, body: Any, header: str
) -> None:
    source = """
      export function handler(input, event) {
        const same = input === event.request.body || (event.request.body === null && Object.keys(input).length === 0);
        console.log(event);
        event.note = event.attempt += 1;
        delete event.caller;
        console.log(event);
        const made = Object.create(event);
        made.attempt = 7;
        try {
          Object.freeze(event).attempt = 9;
        } catch {
          console.log("frozen");
        }
        return [input, same, Object.keys(event), { ...event }, event];
      }"""
    component = await functions.load(author(source))
    request = {"method": "POST", "headers": {header: "x"}, "isBase64Encoded": False, "body": body}
    event = {"id": "i", "trigger": "http", "attempt": 1, "caller": {"role": "anon"}, "request": request}
    text = json.dumps(event, separators=(",", ":")).encode()
    found = body_found(text)
    assert (found == text) is (header == "body" or (isinstance(body, dict) and "body" in body))
    seen = set()
    for way in (text, told(text), told(found)):
        host = FakeHost()
        run = await functions.run_text(component, way.decode(), host)
        assert output(run)[1] is True
        seen.add((run.output, tuple(host.logs)))
    assert len(seen) == 1


async def test_query(language: Call) -> None:
    host = FakeHost(query=(True, {"rows": [{"id": 1}, {"id": 2}], "rowCount": 2}))
    result = output(await language("query", host, sql="select $1", params=["é"]))
    assert (result["first"], result["rowCount"], len(result["rows"])) == ({"id": 1}, 2, 2)
    assert host.queries == [("select $1", '["é"]')]


async def test_parameters(language: Call) -> None:
    host = FakeHost()
    output(await language("parameters", host))
    assert host.queries[0][1] == (
        '["1970-01-01T00:00:00.000Z","\\\\x00ff",12345678901234567890,null,"NaN","-Infinity",1.5,"é",'
        '{"at":"1970-01-01T00:00:00.000Z","big":1,"list":[null,2]},[1,null],true]'
    )


async def test_query_errors(language: Call) -> None:
    fields = {
        "code": "23505",
        "message": "duplicate key",
        "detail": "Key (id)=(1)",
        "constraint": "orders_pkey",
    }
    caught = output(await language("queryError", FakeHost(query=(False, fields))))
    del fields["message"]
    assert caught == {"isError": True, "isPgError": True, "name": "PgError", **fields}
    error = error_of(
        await language("queryErrorUncaught", FakeHost(query=(False, {"message": "no such table"})))
    )
    assert (error.name, error.message, error.retry) == ("PgError", "no such table", True)
    assert "at queryErrorUncaught (language.js:" in error.stack
    assert "params must be an array" in error_of(await language("badParameters")).message


async def test_queries_together(language: Call) -> None:
    host = FakeHost()
    assert output(await language("together", host)) == [0, 0, 0]
    assert [params for _, params in host.queries] == ["[1]", "[2]", "[3]"]


# -- console, env, clocks, randomness ------------------------------------------------------------------


async def test_console(language: Call) -> None:
    host = FakeHost()
    output(await language("log", host))
    error = host.logs.pop(3)
    assert error[0] == "error"
    assert re.match(r"TypeError: wrong\n    at log \(language\.js:\d+:\d+\)", error[1])
    assert host.logs == [
        ("info", "plain 1 true null undefined 10n"),
        ("debug", "{ a: 1, b: 'x', c: [ 1, 2, { d: [Object] } ] }"),
        ("warn", 'tea has 4.5 of 7, {"a":1} and 100% more'),
        (
            "info",
            "[\n  Map(1) { 'k' => Set(1) { 1 } },\n  1970-01-01T00:00:00.000Z,\n  /x/g,\n  [class: Tea],\n"
            "  [Function: brew],\n  Symbol(s)\n]",
        ),
        ("info", "{ name: 'ring', self: [Circular] }"),
        ("info", f"{{\n  long: '{'x' * 60}',\n  other: '{'y' * 30}'\n}}"),
        ("info", "Order { id: 1 } [Object: null prototype] {} [] {} it's [ \"it's\" ] -0"),
        ("info", "group"),
        ("info", "  inner\n  line"),
        ("error", "Assertion failed: sums"),
        ("info", "default: 1"),
        ("info", "default: 1"),
    ]


async def test_all_of_console_is_there(language: Call) -> None:
    """As https://console.spec.whatwg.org has it: a package that calls what is missing ends the function."""
    assert output(await language("console")) == [
        "assert", "clear", "count", "countReset", "debug", "dir", "dirxml", "error", "group", "groupCollapsed",
        "groupEnd", "info", "log", "table", "time", "timeEnd", "timeLog", "trace", "warn",
    ]  # fmt: skip


async def test_env(language: Call) -> None:
    host = FakeHost()
    host.environment = {"KEY": "value"}
    assert output(await language("env", host)) == {
        "key": "value",
        "got": "value",
        "missing": "none",
        "has": True,
    }
    assert output(await language("envOfNoKeys", host)) == [[None, False, False]] * 4 + [None]


async def test_randomness_is_new_in_every_invocation(language: Call) -> None:
    drawn = [output(await language("random")) for _ in range(20)]
    assert len({tuple(one["numbers"]) for one in drawn}) == 20
    assert len({tuple(one["bytes"]) for one in drawn}) == 20
    assert {uuid.UUID(one["uuid"]).version for one in drawn} == {4}
    assert all(0 <= number < 1 for one in drawn for number in one["numbers"])


async def test_time_stands_still_while_building_and_runs_in_an_invocation(language: Call) -> None:
    first, second = [output(await language("topLevel")) for _ in range(2)]
    assert first["topNow"] == [0, 0, 0]
    assert first["topRandom"] == second["topRandom"]
    assert 1_700_000_000_000 < first["now"] <= second["now"]
    assert first["isDate"]


async def test_timers(language: Call) -> None:
    order = ["micro", "after microtasks", "soon", "late"]
    host = FakeHost()
    assert output(await language("timers", host)) == {"order": order, "ticks": 3, "waited": True}
    assert 0 < host.waited_s <= 0.02  # asleep, not spinning
    assert output(await language("timerError", host)) == "done"
    assert host.logs[0][1].startswith("Uncaught Error: in timer\n    at language.js:")


async def test_a_start_costs_little_memory(functions: Functions, language: Call) -> None:
    run = await language("echo")
    assert run.usage.memory_peak is None or run.usage.memory_peak < 4 << 20
