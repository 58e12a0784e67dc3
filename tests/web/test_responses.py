"""What a function returns, and the HTTP answer that becomes of it."""

import base64
import json
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from web_kit import Web, ended

from aerofn.errors import FunctionError
from aerofn.web.response import answer_to

URL = "/functions/v1/hello"


async def returned(web: Web, client: httpx.AsyncClient, output: Any) -> httpx.Response:
    text = output if isinstance(output, bytes) else json.dumps(output, ensure_ascii=False).encode()
    web.requests.reply = ended(text)
    return await client.post(URL)


@pytest.mark.parametrize(
    "output",
    [
        b'{"status": "sent", "n": 1.50}',
        b'null', b'0', b'"text"', b'[{"statusCode": 404}]', b' {"a": {"statusCode": 404}}',
        b'{"statusCode": "404"}', b'{"statusCode": 404.5}', b'{"statusCode": null}', b'{"statusCode": {"x": 404}}',
        b'{"a": "\\"statusCode\\": 404"}', '{"é": "\\"statusCode\\""}'.encode(),
    ],
)  # fmt: skip
async def test_any_json_is_the_body_of_a_200_untouched(
    web: Web, client: httpx.AsyncClient, output: bytes
) -> None:
    answer = await returned(web, client, output)
    assert (answer.status_code, answer.content) == (200, output)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-length"] == str(len(output))


async def test_a_full_response(web: Web, client: httpx.AsyncClient) -> None:
    headers = {
        "X-Count": 3,
        "content-type": "text/html",
        "Set-Cookie": ["a=1", "b=2"],
        "x-yes": True,
        "x-pad": " v ",
    }
    answer = await returned(web, client, {"statusCode": 201, "headers": headers, "body": "<p>é</p>"})
    assert (answer.status_code, answer.text) == (201, "<p>é</p>")
    assert answer.headers["x-count"] == "3"
    assert (answer.headers["x-yes"], answer.headers["x-pad"]) == ("true", "v")
    assert answer.headers.get_list("content-type") == ["text/html"]
    assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]


@pytest.mark.parametrize(
    ("fields", "content", "content_type"),
    [
        ({"body": "text"}, b"text", "text/plain; charset=utf-8"),
        ({"body": ""}, b"", "text/plain; charset=utf-8"),
        ({"body": {"a": [1]}}, b'{"a": [1]}', "application/json"),
        ({"body": [1, 2]}, b"[1, 2]", "application/json"),
        ({"body": 5}, b"5", "application/json"),
        ({"body": None}, b"", None),
        ({}, b"", None),
        ({"body": "iVBO", "isBase64Encoded": True}, base64.b64decode("iVBO"), "application/octet-stream"),
        ({"body": "", "isBase64Encoded": True}, b"", "application/octet-stream"),
        ({"body": "iVBO", "isBase64Encoded": False}, b"iVBO", "text/plain; charset=utf-8"),
        ({"body": "x", "headers": None, "isBase64Encoded": None}, b"x", "text/plain; charset=utf-8"),
    ],
)
async def test_bodies(
    web: Web, client: httpx.AsyncClient, fields: dict[str, Any], content: bytes, content_type: str | None
) -> None:
    answer = await returned(web, client, {"statusCode": 200, **fields})
    assert (answer.content, answer.headers.get("content-type")) == (content, content_type)


@pytest.mark.parametrize("status", [204, 205, 304])
async def test_a_status_without_body_has_none(web: Web, client: httpx.AsyncClient, status: int) -> None:
    answer = await returned(web, client, {"statusCode": status, "body": "ignored", "headers": {"x-a": "1"}})
    assert (answer.status_code, answer.content, answer.headers["x-a"]) == (status, b"", "1")
    assert "content-type" not in answer.headers


async def test_what_the_service_tells_itself_cannot_be_set(web: Web, client: httpx.AsyncClient) -> None:
    headers = {"Content-Length": "999", "X-AeroFn-Invocation-Id": "forged"}
    answer = await returned(web, client, {"statusCode": 200, "headers": headers, "body": "abc"})
    assert answer.headers.get_list("content-length") == ["3"]
    assert answer.headers.get_list("x-aerofn-invocation-id") == [web.requests.last.id]


@pytest.mark.parametrize(
    "response",
    [
        {"statusCode": 101}, {"statusCode": 199}, {"statusCode": 600}, {"statusCode": -1}, {"statusCode": 0},
        {"statusCode": 200, "headers": {"x-a": "1\r\nset-cookie: s=1"}},
        {"statusCode": 200, "headers": {"x-a": "1\n"}},
        {"statusCode": 200, "headers": {"x-a": "\0"}},
        {"statusCode": 200, "headers": {"x-a": "\x85\x7f"}},
        {"statusCode": 200, "headers": {"x-a": "日本"}},
        {"statusCode": 200, "headers": {"x-a\r\nx-b": "1"}},
        {"statusCode": 200, "headers": {"": "1"}},
        {"statusCode": 200, "headers": {"x a": "1"}},
        {"statusCode": 200, "headers": {"x:": "1"}},
        {"statusCode": 200, "headers": {"é": "1"}},
        {"statusCode": 200, "headers": {"x-a": None}},
        {"statusCode": 200, "headers": {"x-a": {"b": 1}}},
        {"statusCode": 200, "headers": {"x-a": ["1", None]}},
        {"statusCode": 200, "headers": ["x-a"]},
        {"statusCode": 200, "headers": "x-a: 1"},
        {"statusCode": 200, "headers": {"Connection": "close"}},
        {"statusCode": 200, "headers": {"Transfer-Encoding": "chunked"}},
        {"statusCode": 200, "headers": {"UPGRADE": "h2c"}},
        {"statusCode": 200, "body": "no base64!", "isBase64Encoded": True},
        {"statusCode": 200, "body": "iVB", "isBase64Encoded": True},
        {"statusCode": 200, "body": "é", "isBase64Encoded": True},
        {"statusCode": 200, "body": {"a": 1}, "isBase64Encoded": True},
        {"statusCode": 200, "body": "x", "isBase64Encoded": "yes"},
    ],
)  # fmt: skip
async def test_an_invalid_response_is_refused_as_a_whole(
    web: Web, client: httpx.AsyncClient, response: dict[str, Any]
) -> None:
    answer = await returned(web, client, response)
    assert (answer.status_code, answer.json()["code"]) == (500, "invalid_response")
    assert answer.json()["hint"]
    assert not {"x-a", "set-cookie", "transfer-encoding"} & set(answer.headers)


@pytest.mark.parametrize(
    "output", [b"", b"undefined", b"{", b'{"statusCode": 200', b'"\xff"', b"[" * 9999, b'"\\u12"']
)
async def test_output_that_is_no_json_is_an_error(web: Web, client: httpx.AsyncClient, output: bytes) -> None:
    answer = await returned(web, client, output)
    assert (answer.status_code, answer.json()["code"]) == (500, "invalid_output")


async def test_half_an_emoji_becomes_the_replacement_character(web: Web, client: httpx.AsyncClient) -> None:
    answer = await returned(
        web, client, b'{"cut": "\\ud83d", "whole": "\\ud83d\\ude00", "text": "\\\\ud83d"}'
    )
    assert answer.json() == {"cut": "\ufffd", "whole": "😀", "text": "\\ud83d"}
    answer = await returned(web, client, b'{"statusCode": 200, "body": "a\\udc00"}')
    assert answer.text == "a\ufffd"


names = st.text(max_size=8)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
)


@given(st.dictionaries(names, values, max_size=4), values, st.integers(), st.booleans() | st.none())
def test_whatever_is_returned_no_byte_escapes_its_header(
    headers: dict[str, Any], body: Any, status: int, is_base64: bool | None
) -> None:
    response = {"statusCode": status, "headers": headers, "body": body, "isBase64Encoded": is_base64}
    try:
        answer = answer_to(json.dumps(response).encode())
    except FunctionError as error:
        assert error.code == "invalid_response"
        return
    if not 200 <= status <= 599:
        assert answer.status == 200  # an integer too large for a status is passed through as JSON
        assert abs(status) >= 10**9
    for name, value in answer.headers:
        assert name == name.strip().lower()
        assert not set(name + value) & set(b"\r\n\0")


async def test_a_page_of_a_function_is_not_of_the_dashboards_origin(
    web: Web, client: httpx.AsyncClient
) -> None:
    own = "default-src 'none'"
    headers = {"content-type": "text/html", "content-security-policy": own}
    web.requests.reply = ended(
        json.dumps({"statusCode": 200, "headers": headers, "body": "<script>"}).encode()
    )
    answer = await client.get("/functions/v1/hello")
    policies = answer.headers.get_list("content-security-policy")
    assert own in policies  # several hold together
    (sandbox,) = [policy for policy in policies if policy.startswith("sandbox ")]
    assert "allow-same-origin" not in sandbox
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Clear-Site-Data", "*"),
        ("Strict-Transport-Security", "max-age=1"),
        ("Service-Worker-Allowed", "/"),
        ("Set-Cookie", "aerofn_session=x; Path=/"),
        ("Set-Cookie", ["a=b", " __Host-AeroFn=x"]),
        ("Set-Cookie", "=aerofn_session=x; Path=/dashboard"),
    ],
)
async def test_a_function_does_not_speak_for_the_origin(
    web: Web, client: httpx.AsyncClient, name: str, value: Any
) -> None:
    web.requests.reply = ended(json.dumps({"statusCode": 200, "headers": {name: value}}).encode())
    answer = await client.get("/functions/v1/hello")
    assert (answer.status_code, answer.json()["code"]) == (500, "invalid_response")
