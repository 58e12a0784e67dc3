"""CORS as a browser with supabase-js asks for it."""

import httpx
import pytest
from web_kit import Web, ended

# What a browser sends before `supabase.functions.invoke('hello', {body, headers, region})`.
ASKED = {
    "origin": "https://app.example",
    "access-control-request-method": "POST",
    "access-control-request-headers": "apikey,authorization,content-type,x-client-info,x-region,x-my-own",
}


@pytest.mark.parametrize(
    "path", ["/functions/v1/hello", "/functions/v1/hello/sub/path", "/functions/v1/deploy", "/nothing"]
)
async def test_a_preflight_is_answered_without_a_token(
    web: Web, client: httpx.AsyncClient, path: str
) -> None:
    answer = await client.options(path, headers=ASKED)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["access-control-allow-headers"] == ASKED["access-control-request-headers"]
    assert {"POST", "GET", "PUT", "PATCH", "DELETE"} <= set(
        answer.headers["access-control-allow-methods"].split(", ")
    )
    assert answer.headers["x-aerofn-invocation-id"]
    assert "access-control-allow-credentials" not in answer.headers
    assert web.requests.asked == []


@pytest.mark.parametrize("asked", [None, "x\x85", "a:b", "x" * 5000])
async def test_the_usual_headers_are_allowed_where_none_are_asked_for(
    client: httpx.AsyncClient, asked: str | None
) -> None:
    headers = {} if asked is None else {"access-control-request-headers": asked.encode("latin-1")}
    answer = await client.options("/functions/v1/hello", headers=headers)
    allowed = set(answer.headers["access-control-allow-headers"].split(", "))
    assert allowed == {"authorization", "x-client-info", "apikey", "content-type", "x-region"}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("POST", "/functions/v1/hello", 200), ("GET", "/nothing", 404), ("POST", "/healthz", 405),
     ("GET", "/manage/v1/functions", 401)],
)  # fmt: skip
async def test_every_answer_may_be_read_by_any_origin(
    client: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    answer = await client.request(method, path, headers={"origin": "https://app.example"})
    assert answer.status_code == status
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["access-control-expose-headers"] == "*"


async def test_a_function_that_answers_cors_itself_has_its_way(web: Web, client: httpx.AsyncClient) -> None:
    web.requests.reply = ended(
        b'{"statusCode":200,"headers":{"Access-Control-Allow-Origin":"https://a.example"}}'
    )
    answer = await client.post("/functions/v1/hello")
    assert answer.headers.get_list("access-control-allow-origin") == ["https://a.example"]
