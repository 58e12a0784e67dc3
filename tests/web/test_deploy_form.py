"""POST /functions/v1/deploy: the form, who may send it, and what comes back."""

from typing import Any

import httpx
import pytest
from web_kit import COMPONENT, Web, admin, bearer, settings

from aerofn.db.functions import Registration
from aerofn.errors import InvalidRequest

URL = "/functions/v1/deploy"
FILE = {"wasm": ("hello.wasm", COMPONENT)}


async def deployed(client: httpx.AsyncClient, *, files: Any = FILE, **fields: Any) -> httpx.Response:
    return await client.post(URL, headers=admin(), data={"name": "hello", **fields}, files=files)


async def test_name_and_wasm_are_enough(web: Web, client: httpx.AsyncClient) -> None:
    answer = await deployed(client)
    assert answer.status_code == 201
    expected = {"name": "hello", "version": 1, "status": "ready", "digest": "ab" * 32, "active": True}
    assert answer.json() == expected
    assert web.functions.registered == [(Registration(name="hello", wasm=COMPONENT), "u1")]
    assert web.functions.waited == 60


async def test_all_options(web: Web, client: httpx.AsyncClient) -> None:
    await deployed(
        client, timeout_ms="500", memory_mb=" 64 ", env="A, B", hosts=["x.example", "y.example,z.example"],
        roles=["anon", "authenticated"], run_as="service_role", activate="false", wait="5",
    )  # fmt: skip
    registration = Registration(
        name="hello", wasm=COMPONENT, timeout_ms=500, memory_mb=64, env=("A", "B"),
        hosts=("x.example", "y.example", "z.example"), roles=("anon", "authenticated"), run_as="service_role",
        activate=False,
    )  # fmt: skip
    assert web.functions.registered[0][0] == registration
    assert web.functions.waited == 5


async def test_empty_options_are_as_if_not_given(web: Web, client: httpx.AsyncClient) -> None:
    await deployed(
        client, timeout_ms="", memory_mb="", env="", hosts="", roles="", run_as="", activate="", wait=""
    )
    assert web.functions.registered[0][0] == Registration(name="hello", wasm=COMPONENT)


async def test_a_component_larger_than_memory_buffers_arrives_whole(
    web: Web, client: httpx.AsyncClient
) -> None:
    wasm = COMPONENT + bytes(range(256)) * 12_000
    await deployed(client, files={"wasm": ("big.wasm", wasm)})
    assert web.functions.registered[0][0].wasm == wasm


async def test_a_failed_compile_is_422_with_its_reason(web: Web, client: httpx.AsyncClient) -> None:
    problem = {"code": "invalid_component", "message": "no export handle", "detail": "d", "hint": "export it"}
    web.functions.settles, web.functions.error = "failed", problem
    answer = await deployed(client)
    assert (answer.status_code, answer.json()) == (422, problem)


async def test_what_still_compiles_is_202(web: Web, client: httpx.AsyncClient) -> None:
    web.functions.settles = "compiling"
    answer = await deployed(client, wait="0")
    assert (answer.status_code, answer.json()["status"], answer.json()["active"]) == (202, "compiling", False)
    assert web.functions.waited == 0


async def test_the_registrys_refusal_is_the_answer(web: Web, client: httpx.AsyncClient) -> None:
    web.functions.refusal = InvalidRequest("these 8 bytes are no component", hint="wrap it")
    answer = await deployed(client)
    assert (answer.status_code, answer.json()["hint"]) == (400, "wrap it")


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"timeout_sm": "5"}, "timeout_sm"), ({"timeout_ms": "fast"}, "timeout_ms"),
        ({"timeout_ms": "-1"}, "timeout_ms"),
        ({"timeout_ms": "1e3"}, "timeout_ms"), ({"timeout_ms": "9999999999"}, "timeout_ms"),
        ({"timeout_ms": "²"}, "timeout_ms"), ({"activate": "maybe"}, "activate"), ({"wait": "601"}, "wait"),
        ({"name": ["a", "b"]}, "name"), ({"env": "A\0"}, "env"), ({"name": "a\0"}, "name"),
        ({"run_as": ["a", "a"]}, "run_as"),
    ],
)  # fmt: skip
async def test_an_option_that_is_wrong_is_named(
    web: Web, client: httpx.AsyncClient, fields: dict[str, Any], word: str
) -> None:
    answer = await deployed(client, **fields)
    assert answer.status_code == 400
    assert word in answer.json()["message"]
    assert web.functions.registered == []


@pytest.mark.parametrize(
    "files",
    [{"other": ("hello.wasm", COMPONENT)}, [("wasm", ("a", b"1")), ("wasm", ("b", b"2"))],
     {"wasm": (None, "path.wasm")}, {"name": ("n", b"hello"), "x": (None, "1")}],
)  # fmt: skip
async def test_wasm_must_be_one_file(web: Web, client: httpx.AsyncClient, files: Any) -> None:
    answer = await deployed(client, files=files)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert web.functions.registered == []


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/wasm", COMPONENT),
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=b", b"--nope"),
        ("multipart/form-data; boundary=b", b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n"),
        ("multipart/form-data; boundary=b", b""),
    ],
)
async def test_what_is_no_form_is_400_and_says_how(client: httpx.AsyncClient, kind: str, body: bytes) -> None:
    answer = await client.post(URL, headers={**admin(), "content-type": kind}, content=body)
    assert answer.status_code == 400
    assert "curl" in answer.json()["hint"]


@pytest.mark.parametrize(("headers", "status"), [({}, 401), (bearer(), 403), (bearer("anon"), 403)])
async def test_only_the_admin_role_may(
    web: Web, client: httpx.AsyncClient, headers: dict[str, str], status: int
) -> None:
    read = False

    async def body() -> Any:
        nonlocal read
        read = True
        yield b"x"

    answer = await client.post(
        URL, headers={**headers, "content-type": "multipart/form-data; boundary=b"}, content=body()
    )
    assert answer.status_code == status
    assert not read
    assert web.functions.registered == []


async def test_a_component_over_the_limit_is_413() -> None:
    web = Web(settings=settings(max_component_mb=1))
    async with web.client() as client:
        answer = await deployed(client, files={"wasm": ("big.wasm", b"x" * (1 << 21))})
        assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")
        assert (await deployed(client, files={"wasm": ("ok.wasm", b"x" * (1 << 20))})).status_code == 201
    assert len(web.functions.registered) == 1
