"""Who calls: tokens that hold, and every way in which one may not."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from web_kit import SECRET, Web, bearer, settings, token

from aerofn.errors import InvalidToken
from aerofn.web.auth import Tokens

URL = "/functions/v1/hello"


async def refused(client: httpx.AsyncClient, given: str, status: int = 401) -> dict[str, Any]:
    answer = await client.post(URL, headers={"authorization": f"Bearer {given}"})
    assert answer.status_code == status, answer.text
    return answer.json()


def signed(payload: bytes, header: dict[str, Any], secret: str = SECRET) -> str:
    """A token signed by hand, with what PyJWT would not write."""
    parts = [base64.urlsafe_b64encode(part).rstrip(b"=") for part in (json.dumps(header).encode(), payload)]
    mac = hmac.digest(secret.encode(), b".".join(parts), hashlib.sha256)
    return b".".join([*parts, base64.urlsafe_b64encode(mac).rstrip(b"=")]).decode()


HS256 = {"alg": "HS256", "typ": "JWT"}


async def test_a_token_gives_the_role_and_all_claims(web: Web, client: httpx.AsyncClient) -> None:
    answer = await client.post(URL, headers=bearer(app_metadata={"teams": [1, 2]}))
    assert answer.status_code == 200
    caller = web.requests.last.caller
    assert (caller.role, caller.subject) == ("authenticated", "u1")
    assert caller.claims["app_metadata"] == {"teams": [1, 2]}


async def test_no_token_is_anon(web: Web, client: httpx.AsyncClient) -> None:
    assert (await client.post(URL)).status_code == 200
    assert (web.requests.last.caller.role, web.requests.last.caller.claims) == ("anon", {"role": "anon"})


async def test_apikey_is_the_token_where_there_is_no_authorization(
    web: Web, client: httpx.AsyncClient
) -> None:
    await client.post(URL, headers={"apikey": token("service_role")})
    assert web.requests.last.caller.role == "service_role"
    await client.post(URL, headers={"apikey": token("service_role"), **bearer("authenticated")})
    assert web.requests.last.caller.role == "authenticated"
    assert (await client.post(URL, headers={"apikey": "sb_publishable_x"})).status_code == 401


async def test_the_function_never_sees_the_token(web: Web, client: httpx.AsyncClient) -> None:
    await client.post(URL, headers={"apikey": token(), **bearer(), "x-client-info": "supabase-js/2"})
    headers = web.requests.last.event["headers"]
    assert headers["x-client-info"] == "supabase-js/2"
    assert not {"authorization", "apikey"} & set(headers)


@pytest.mark.parametrize("value", ["Bearer", "Bearer  ", "Basic dTpw", "token", ""])
async def test_an_authorization_without_a_token_is_refused(client: httpx.AsyncClient, value: str) -> None:
    answer = await client.post(URL, headers={"authorization": value})
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")
    assert answer.json()["hint"] == "write Authorization: Bearer <token>"
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_the_scheme_is_read_in_any_case(web: Web, client: httpx.AsyncClient) -> None:
    await client.post(URL, headers={"authorization": f"bEARER {token()}"})
    assert web.requests.last.caller.role == "authenticated"


async def test_two_authorizations_are_none(client: httpx.AsyncClient) -> None:
    given = ("authorization", f"Bearer {token()}")
    assert (await client.post(URL, headers=[given, given])).status_code == 401


@pytest.mark.parametrize(
    "given",
    [
        token(key="another secret, as long as the right one is"),
        token(exp=int(time.time()) - 1),
        token(nbf=int(time.time()) + 1800),
        token(exp="soon"),
        token(role=None),
        token(role=7),
        token(role=["service_role"]),
        token(sub=7),
        token() + "x",
        token()[:-2],
        token().rpartition(".")[0],
        "not.a.token",
        "x",
        signed(b'{"role":"service_role"}', {"alg": "none"}),
        signed(b'{"role":"service_role"}', {"alg": "none"}).rpartition(".")[0] + ".",
        signed(b'{"role":"service_role"}', {"alg": "nOnE"}),
        signed(b'{"role":"service_role"}', {"alg": "HS384"}),
        signed(b'{"role":"service_role"}', {"alg": ["HS256"]}),
        signed(b'{"role":"service_role"}', {}),
        signed(b'{"role":"service_role"}', {**HS256, "crit": ["exp2"], "exp2": 1}),
        signed(b"[" * 3000, HS256),
        signed(b'["role"]', HS256),
        signed(b'{"role":"service_role","a":' + b"[" * 3000 + b"]" * 3000 + b"}", HS256),
        signed(b'{"role":"service_role","sub":"a\\u0000b"}', HS256),
        signed(b'{"role":"service_role","a":[{"b\\u0000":1}]}', HS256),
        signed(b'{"role":"service_role","sub":"\\ud800"}', HS256),
        signed(b'{"role":"service_role","a":"' + b"x" * 20_000 + b'"}', HS256),
        signed(b'{"role":"service_role","exp":1e400}', HS256),
        signed(b'{"role":"service_role","exp":NaN}', HS256),
    ],
)  # fmt: skip
async def test_a_token_that_does_not_hold_is_401_and_nothing_runs(
    web: Web, client: httpx.AsyncClient, given: str
) -> None:
    body = await refused(client, given)
    assert (body["code"], set(body)) == ("invalid_token", {"code", "message", "detail", "hint"})
    assert web.requests.asked == []


async def test_a_public_key_is_no_secret(web: Web) -> None:
    """Algorithm confusion: a token signed with HS256 and the text of a public key."""
    public = rsa.generate_private_key(65537, 2048).public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    async with web.client() as client:
        await refused(client, signed(b'{"role":"service_role"}', HS256, pem.decode()))


async def test_a_role_that_is_not_exposed_is_403(web: Web, client: httpx.AsyncClient) -> None:
    body = await refused(client, token("postgres"), 403)
    assert body["code"] == "not_allowed"
    assert "authenticated" in body["hint"]
    assert web.requests.asked == []


async def test_audience_and_issuer_are_checked_where_set() -> None:
    web = Web(settings=settings(jwt_audience="aerofn", jwt_issuer="https://id.example"))
    right: dict[str, Any] = {"aud": "aerofn", "iss": "https://id.example"}
    async with web.client() as client:
        assert (await client.post(URL, headers=bearer(**right))).status_code == 200
        for wrong in ({"aud": "other"}, {"aud": None}, {"iss": "https://evil.example"}, {"iss": None}):
            await refused(client, token(**{**right, **wrong}))


async def test_audience_is_nobodys_business_where_not_set(client: httpx.AsyncClient) -> None:
    assert (await client.post(URL, headers=bearer(aud="authenticated", iss="supabase"))).status_code == 200


async def test_a_clock_a_little_ahead_of_ours_is_no_attack(client: httpx.AsyncClient) -> None:
    assert (await client.post(URL, headers=bearer(iat=int(time.time()) + 5))).status_code == 200


async def test_without_a_secret_only_anon_can_call() -> None:
    web = Web(settings=settings(jwt_secret=None))
    async with web.client() as client:
        assert (await client.post(URL)).status_code == 200
        body = await refused(client, token())
        assert "AEROFN_JWT_SECRET" in body["hint"]
        await refused(client, signed(b'{"role":"service_role"}', HS256, ""))


class Clock:
    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


def headers_with(given: str) -> dict[str, str]:
    return {"authorization": f"Bearer {given}"}


async def test_a_verified_token_is_kept_and_verified_again_when_it_has_expired() -> None:
    clock = Clock()
    tokens = Tokens(settings(), clock=clock)
    given = headers_with(token(exp=int(clock.now) + 10))
    first = await tokens.caller(given, "")
    assert await tokens.caller(given, "") is first
    clock.now += 11
    # PyJWT reads the real clock, by which it still holds: another caller shows that it was asked.
    assert await tokens.caller(given, "") is not first


async def test_no_more_tokens_are_kept_than_may_be() -> None:
    tokens = Tokens(settings(), kept=2)
    one, two, three = (headers_with(token(sub=name)) for name in ("1", "2", "3"))
    first, second = await tokens.caller(one, ""), await tokens.caller(two, "")
    await tokens.caller(three, "")
    assert await tokens.caller(two, "") is second
    assert await tokens.caller(one, "") is not first


async def test_a_token_that_does_not_hold_is_not_kept() -> None:
    tokens = Tokens(settings())
    for _ in range(2):
        with pytest.raises(InvalidToken):
            await tokens.caller(headers_with("bad"), "")
