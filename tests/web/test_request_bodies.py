"""What a function sees of an HTTP request."""

import base64
import json

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from web_kit import Web, settings

from aerofn.web import json_text
from aerofn.web.request import http_request

URL = "/functions/v1/hello"
JSON = {"content-type": "application/json"}


async def sent(
    web: Web, client: httpx.AsyncClient, body: bytes, content_type: str | None
) -> tuple[object, bool]:
    headers = {} if content_type is None else {"content-type": content_type}
    answer = await client.post(URL, content=body, headers=headers)
    assert answer.status_code == 200, answer.text
    event = web.requests.last.event
    return event["body"], event["isBase64Encoded"]


@pytest.mark.parametrize(
    "kind", ["application/json", "Application/JSON; charset=utf-8", "application/ld+json"]
)
async def test_json_is_kept_byte_for_byte(web: Web, client: httpx.AsyncClient, kind: str) -> None:
    body = b' {"n": 12345678901234567890.10, "u": "\\u00e9", "k": 1, "k": 2}\n'
    assert await sent(web, client, body, kind) == (json.loads(body), False)
    assert bytes(web.requests.last.request.body) == body


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"{]",
        b"{} {}",
        b"NaN",
        b"'a'",
        b"\xff",
        b'"\xff"',
        b'{"a":1,}',
        b"01",
        b"\xef\xbb\xbf{}",
        b" ",
        b"[" * 9999,
    ],
)
async def test_what_is_not_json_is_400(web: Web, client: httpx.AsyncClient, body: bytes) -> None:
    answer = await client.post(URL, content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_json")
    assert web.requests.asked == []


async def test_how_deep_json_may_be_nested(web: Web, client: httpx.AsyncClient) -> None:
    """On every version of Python, though each has another bound of its own."""
    for opening, closing in [(b"[", b"]"), (b'{"a\\\\":', b"}")]:
        deepest = opening * 899 + b'["[]{\\"[", []]' + closing * 899
        assert (
            await client.post(URL, content=deepest.replace(b", []", b""), headers=JSON)
        ).status_code == 200
        answer = await client.post(URL, content=deepest, headers=JSON)
        assert (answer.status_code, answer.json()["detail"]) == (400, "nested more than 900 deep")
    wide = b"[%s]" % b",".join([b'[{"[": "\\"{"}]'] * 2000)
    assert (await client.post(URL, content=wide, headers=JSON)).status_code == 200


@pytest.mark.parametrize("kind", [None, "application/json", "text/plain", "image/png"])
async def test_no_body_is_null(web: Web, client: httpx.AsyncClient, kind: str | None) -> None:
    assert await sent(web, client, b"", kind) == (None, False)


@pytest.mark.parametrize(
    ("body", "kind", "text"),
    [
        ("héllo \0 \"q\"".encode(), "text/plain", "héllo \0 \"q\""),
        ("héllo".encode(), "text/csv; header=present; charset=\"UTF-8\"", "héllo"),
        ("héllo".encode("latin-1"), "text/plain;charset=ISO-8859-1", "héllo"),
        (b"a=1&b=%20", "application/x-www-form-urlencoded", "a=1&b=%20"),
    ],
)  # fmt: skip
async def test_text_is_a_string(
    web: Web, client: httpx.AsyncClient, body: bytes, kind: str, text: str
) -> None:
    assert await sent(web, client, body, kind) == (text, False)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"\x89PNG\0", "image/png"),
        (b"--x\r\n\r\n--x--", "multipart/form-data; boundary=x"),
        (b"anything", None),
        (b"\xff\xfe not UTF-8", "text/plain"),
        ("日本".encode("shift-jis"), "text/plain; charset=shift_jis"),
    ],
)
async def test_all_else_is_base64(web: Web, client: httpx.AsyncClient, body: bytes, kind: str | None) -> None:
    assert await sent(web, client, body, kind) == (base64.b64encode(body).decode(), True)


@pytest.mark.parametrize(
    ("url", "path", "query"),
    [
        (URL, "/", {}),
        (f"{URL}/", "/", {}),
        (f"{URL}/a/b%20c/", "/a/b c/", {}),
        (f"{URL}?a=1&b=&c", "/", {"a": "1", "b": "", "c": ""}),
        (f"{URL}/x?a=1&a=2&%C3%A9=%F0%9F%98%80+y", "/x", {"a": "1,2", "é": "😀 y"}),
        (f"{URL}?bad=%ff", "/", {"bad": "�"}),
    ],
)
async def test_path_and_query(
    web: Web, client: httpx.AsyncClient, url: str, path: str, query: dict[str, str]
) -> None:
    await client.get(url)
    assert (web.requests.last.function, web.requests.last.event["path"]) == ("hello", path)
    assert web.requests.last.event["query"] == query
    assert web.requests.last.event["search"] == ("?" + url.partition("?")[2] if "?" in url else "")


@pytest.mark.parametrize("method", ["POST", "GET", "PUT", "PATCH", "DELETE", "HEAD"])
async def test_methods(web: Web, client: httpx.AsyncClient, method: str) -> None:
    await client.request(method, URL)
    assert web.requests.last.event["method"] == method


async def test_header_names_are_lower_case_and_repeated_ones_joined(
    web: Web, client: httpx.AsyncClient
) -> None:
    await client.post(URL, headers=[("X-One", "a"), ("x-one", "b"), ("Cookie", "c=1"), ("cookie", "d=2")])
    headers = web.requests.last.event["headers"]
    assert (headers["x-one"], headers["cookie"]) == ("a, b", "c=1; d=2")


async def test_the_id_of_the_answer_is_the_invocations(web: Web, client: httpx.AsyncClient) -> None:
    answer = await client.post(URL, headers={"x-aerofn-invocation-id": "mine"})
    assert answer.headers["x-aerofn-invocation-id"] == web.requests.last.id != "mine"


async def test_a_body_at_the_limit_passes_and_one_byte_more_is_413() -> None:
    web = Web(settings=settings(max_body_mb=1))
    async with web.client() as client:
        assert (await client.post(URL, content=b"x" * (1 << 20))).status_code == 200
        answer = await client.post(URL, content=b"x" * ((1 << 20) + 1))
        assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")
        assert len(web.requests.asked) == 1


def seen(body: bytes, content_type: str) -> dict[str, object]:
    scope = {"method": "POST", "path_params": {}, "query_string": b""}
    import msgspec

    return json.loads(msgspec.json.encode(http_request(scope, {"content-type": content_type}, body)))


@given(st.binary(min_size=1), st.sampled_from(["image/png", "text/plain", "text/x; charset=iso-8859-1", ""]))
def test_no_byte_of_a_body_is_ever_lost(body: bytes, content_type: str) -> None:
    event = seen(body, content_type)
    text = str(event["body"])
    charset = "latin-1" if "8859" in content_type else "utf-8"
    assert (base64.b64decode(text) if event["isBase64Encoded"] else text.encode(charset)) == body


@given(st.text(alphabet=st.sampled_from('\\u dDeE8cC0129"f/n'), max_size=40))
def test_mended_json_changes_only_halves_of_pairs(inner: str) -> None:
    text = f'"{inner}"'.encode()
    try:
        value = json.loads(text)
    except ValueError:
        return
    mended = json_text.mended(text)
    assert json_text.problem(mended) is None
    assert json.loads(mended) == value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
