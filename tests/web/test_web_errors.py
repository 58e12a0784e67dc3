"""Errors as clients see them: one shape, the right status, an id on all, nothing of the inside."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from web_kit import Invocation, Web, admin, bearer, ended

from aerofn.dispatch.invoker import Completed
from aerofn.errors import (
    AeroFnError,
    Busy,
    DatabaseUnavailable,
    DeployError,
    NotAllowed,
    NotFound,
    RateLimited,
)
from aerofn.model import GuestError, Outcome

URL = "/functions/v1/hello"


def raising(error: BaseException) -> Any:
    async def reply(_: Invocation) -> Completed:
        raise error

    return reply


def shaped(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    body = answer.json()
    assert (answer.status_code, body["code"]) == (status, code), answer.text
    assert list(body) == ["code", "message", "detail", "hint"]
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert len(answer.headers["x-aerofn-invocation-id"]) == 36
    assert answer.headers["access-control-allow-origin"] == "*"
    return body


async def test_every_answer_has_an_id_of_its_own(client: httpx.AsyncClient) -> None:
    paths = [URL, "/healthz", "/readyz", "/metrics", "/nothing", "/manage/v1/functions"]
    ids = {(await client.get(path)).headers["x-aerofn-invocation-id"] for path in paths * 2}
    assert len(ids) == 2 * len(paths)


@pytest.mark.parametrize(
    "path", ["/", "/nothing", "/functions/v1/", "/functions/v1", "/healthz/", "/manage/v1"]
)
async def test_an_unknown_path_is_404(client: httpx.AsyncClient, path: str) -> None:
    shaped(await client.get(path), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/functions/v1/deploy", {"POST", "OPTIONS"}),
        ("TRACE", URL, {"POST", "GET", "PUT", "PATCH", "DELETE", "HEAD"}),
        ("POST", "/healthz", {"GET", "HEAD", "OPTIONS"}),
        ("PUT", "/manage/v1/functions/hello", {"GET", "HEAD", "DELETE", "OPTIONS"}),
        ("GET", "/manage/v1/functions/hello/activate", {"POST", "OPTIONS"}),
    ],
)
async def test_a_wrong_method_is_405(
    client: httpx.AsyncClient, method: str, path: str, allow: set[str]
) -> None:
    answer = await client.request(method, path)
    shaped(answer, 405, "method_not_allowed")
    assert set(answer.headers["allow"].split(", ")) == allow


@pytest.mark.parametrize(
    "name", ["1st", "a.b", "a b", "%00", "a%00", "é", "x" * 64, "-a", "a%0d%0aset-cookie:x"]
)
async def test_a_name_that_no_function_has_is_not_even_looked_for(
    web: Web, client: httpx.AsyncClient, name: str
) -> None:
    shaped(await client.post(f"/functions/v1/{name}"), 404, "function_not_found")
    assert web.requests.asked == []


@pytest.mark.parametrize(
    ("error", "status", "code", "retry_after"),
    [
        (NotFound("no function", code="function_not_found"), 404, "function_not_found", None),
        (NotAllowed("not yours"), 403, "not_allowed", None),
        (DeployError("still being compiled", code="compiling"), 422, "compiling", None),
        (Busy("full", retry_after=7), 503, "busy", "7"),
        (RateLimited("too many"), 429, "rate_limited", "1"),
        (DatabaseUnavailable("away"), 503, "database_unavailable", "1"),
    ],
)
async def test_errors_before_the_function_ran(
    web: Web, client: httpx.AsyncClient, error: AeroFnError, status: int, code: str, retry_after: str | None
) -> None:
    web.requests.reply = raising(error)
    answer = await client.post(URL)
    assert shaped(answer, status, code)["message"] == error.message
    assert answer.headers.get("retry-after") == retry_after


BOOM = GuestError("boom", "TypeError", "at handler (index.js:3)")


@pytest.mark.parametrize(
    ("outcome", "error", "status", "code", "message"),
    [
        (Outcome.FUNCTION_ERROR, BOOM, 500, "function_error", "boom"),
        (Outcome.TRAP, GuestError("unreachable executed"), 500, "trap", "unreachable executed"),
        (Outcome.TIMEOUT, GuestError("stopped after 10 s"), 504, "timeout", "stopped after 10 s"),
        (Outcome.MEMORY_LIMIT, GuestError("over 128 MB"), 500, "memory_limit", "over 128 MB"),
        (Outcome.CANCELLED, GuestError("shutting down"), 499, "cancelled", "shutting down"),
        (Outcome.TRAP, None, 500, "trap", "trap"),
    ],
)
async def test_outcomes(
    web: Web,
    client: httpx.AsyncClient,
    outcome: Outcome,
    error: GuestError | None,
    status: int,
    code: str,
    message: str,
) -> None:
    web.requests.reply = ended(outcome=outcome, error=error)
    assert shaped(await client.post(URL), status, code)["message"] == message


async def test_an_error_inside_the_host_stays_inside(web: Web, client: httpx.AsyncClient) -> None:
    web.requests.reply = ended(
        outcome=Outcome.HOST_ERROR, error=GuestError("KeyError: pool of 10.0.0.7", stack="s")
    )
    for headers in ({}, admin()):
        answer = await client.post(URL, headers=headers)
        shaped(answer, 500, "host_error")
        assert "10.0.0.7" not in answer.text


async def test_what_failed_below_is_the_error(web: Web, client: httpx.AsyncClient) -> None:
    failure = DatabaseUnavailable("no connection free in 5 s")
    web.requests.reply = ended(outcome=Outcome.HOST_ERROR, error=GuestError("x"), failure=failure)
    answer = await client.post(URL)
    shaped(answer, 503, "database_unavailable")
    assert answer.headers["retry-after"] == "1"


async def test_only_an_admin_sees_the_stack(web: Web, client: httpx.AsyncClient) -> None:
    web.requests.reply = ended(outcome=Outcome.FUNCTION_ERROR, error=BOOM)
    for headers in ({}, bearer("authenticated")):
        assert (await client.post(URL, headers=headers)).json()["detail"] == "TypeError"
    detail = (await client.post(URL, headers=admin())).json()["detail"]
    assert detail == "TypeError\nat handler (index.js:3)"


async def test_an_unexpected_error_is_logged_with_the_id_and_told_without_internals(
    web: Web, client: httpx.AsyncClient
) -> None:
    web.requests.reply = raising(KeyError("secret-internals"))
    with structlog.testing.capture_logs() as lines:
        answer = await client.post(URL)
    shaped(answer, 500, "internal_error")
    assert "secret-internals" not in answer.text
    (line,) = lines
    assert line["invocation_id"] == answer.headers["x-aerofn-invocation-id"]
    assert (line["log_level"], line["path"], repr(line["exc_info"])) == (
        "error",
        URL,
        "KeyError('secret-internals')",
    )


async def test_errors_that_are_the_clients_are_not_logged(web: Web, client: httpx.AsyncClient) -> None:
    web.requests.reply = raising(NotFound("x"))
    with structlog.testing.capture_logs() as lines:
        await client.post(URL)
        await client.get("/nothing")
    assert lines == []


async def test_a_cancelled_node_is_no_answer(web: Web, client: httpx.AsyncClient) -> None:
    """A cancellation that is not the client's goes through, so that a shutdown can end requests."""
    web.requests.reply = raising(asyncio.CancelledError())
    with pytest.raises(asyncio.CancelledError):
        await client.post(URL)


def test_no_endpoint_answers_in_starlettes_words() -> None:
    for path in (Path(__file__).parents[2] / "aerofn" / "web").glob("*.py"):
        assert "starlette.responses" not in path.read_text(), path
