"""The registry over HTTP, the probes, and the application's life."""

from collections.abc import Callable

import httpx
import pytest
from web_kit import Web, admin, bearer

from aerofn.errors import Conflict

ONE = "/manage/v1/functions/hello"


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/manage/v1/functions"), ("GET", ONE), ("DELETE", ONE), ("POST", f"{ONE}/activate")],
)
@pytest.mark.parametrize(("headers", "status"), [(dict, 401), (bearer, 403), (lambda: {"apikey": "x"}, 401)])
async def test_only_the_admin_role_may(
    web: Web,
    client: httpx.AsyncClient,
    method: str,
    path: str,
    headers: Callable[[], dict[str, str]],
    status: int,
) -> None:
    answer = await client.request(method, path, headers=headers())
    assert answer.status_code == status
    assert web.functions.calls == []


async def test_list_and_show(client: httpx.AsyncClient) -> None:
    (hello,) = (await client.get("/manage/v1/functions", headers=admin())).json()
    assert (hello["name"], hello["status"], hello["roles"]) == ("hello", "ready", None)
    assert hello["created_at"] == "2026-01-02T00:00:00Z"
    assert (await client.get(ONE, headers=admin())).json() == hello
    answer = await client.get("/manage/v1/functions/other", headers=admin())
    assert (answer.status_code, answer.json()["code"]) == (404, "function_not_found")


async def test_drop(web: Web, client: httpx.AsyncClient) -> None:
    answer = await client.delete(ONE, headers=admin())
    assert (answer.status_code, answer.content) == (204, b"")
    assert web.functions.calls == [("drop", "hello")]
    assert (await client.delete("/manage/v1/functions/other", headers=admin())).status_code == 404
    web.functions.refusal = Conflict("a trigger points at it")
    assert (await client.delete(ONE, headers=admin())).status_code == 409


async def test_activate(web: Web, client: httpx.AsyncClient) -> None:
    answer = await client.post(f"{ONE}/activate", headers=admin(), json={"version": 2})
    assert (answer.status_code, answer.json()) == (200, {"name": "hello", "version": 2, "active": True})
    assert web.functions.calls == [("activate", "hello", 2)]


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"2", b"{}", b'{"version": "2"}', b'{"version": 0}', b'{"version": 2147483648}', b'{"version": 1.5}',
     b'{"version": true}',
     b'{"version": 2, "force": true}', b"[" * 9999, b'{"version": null}'],
)  # fmt: skip
async def test_activate_needs_a_version(web: Web, client: httpx.AsyncClient, body: bytes) -> None:
    answer = await client.post(f"{ONE}/activate", headers=admin(), content=body)
    assert (answer.status_code, answer.json()["hint"]) == (400, 'send {"version": 3}')
    assert web.functions.calls == []


async def test_a_name_that_cannot_be_never_reaches_the_registry(client: httpx.AsyncClient) -> None:
    answer = await client.delete("/manage/v1/functions/a%00b", headers=admin())
    assert (answer.status_code, answer.json()["code"]) == (404, "function_not_found")


async def test_health_and_metrics(client: httpx.AsyncClient) -> None:
    assert (await client.get("/healthz")).json() == {"status": "ok"}
    answer = await client.get("/metrics")
    assert (answer.text, answer.headers["content-type"]) == ("up 1\n", "text/plain")


async def test_readiness(web: Web, client: httpx.AsyncClient) -> None:
    assert (await client.get("/readyz")).json() == {"status": "ready", "warnings": []}
    web.warnings = ["not hardened"]
    assert (await client.get("/readyz")).json() == {"status": "ready", "warnings": ["not hardened"]}
    web.reasons = ["no database", "no listener"]
    answer = await client.get("/readyz")
    assert (answer.status_code, answer.json()["code"]) == (503, "not_ready")
    assert answer.json()["detail"] == "no database; no listener"
    assert answer.headers["retry-after"] == "1"


async def test_the_lifespan_runs_around_the_application(web: Web) -> None:
    async with web.server() as port:
        assert web.events == ["started"]
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            assert (await client.get("/healthz")).status_code == 200
    assert web.events == ["started", "stopped"]
