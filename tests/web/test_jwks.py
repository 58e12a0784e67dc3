"""Tokens signed by an identity provider: its keys over HTTP, their rotation, and what an attacker makes of them."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import jwt
import pytest
import pytest_asyncio
from aiohttp import web as server
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from web_kit import SECRET, Web, settings, token

from aerofn.errors import InvalidToken, KeysUnavailable
from aerofn.web.jwks import Jwks

URL = "/functions/v1/hello"
RSA = rsa.generate_private_key(65537, 2048)
PRIVATE = {
    "RS256": RSA,
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}


def published(alg: str, kid: str | None, key: Any = None, **more: Any) -> dict[str, Any]:
    algorithm = jwt.get_algorithm_by_name(alg)
    public = json.loads(algorithm.to_jwk((key or PRIVATE[alg]).public_key()))
    return {k: v for k, v in {**public, "kid": kid, **more}.items() if v is not None}


def signed(alg: str, kid: str | None, role: str = "authenticated", key: Any = None) -> str:
    claims = jwt.decode(token(role), SECRET, ["HS256"])
    return jwt.encode(claims, key or PRIVATE[alg], alg, {"kid": kid} if kid else None)


class Provider:
    """An identity provider on a free port: what it publishes, how it answers, how often it was asked."""

    def __init__(self) -> None:
        self.document: Any = {"keys": [published(alg, f"{alg}-1") for alg in PRIVATE]}
        self.status = 200
        self.asked = 0
        self.answering = asyncio.Event()
        self.answering.set()
        self.url = ""

    async def answer(self, _: server.Request) -> server.Response:
        self.asked += 1
        await self.answering.wait()
        headers = {"location": "/elsewhere"} if self.status == 302 else {}
        body = self.document if isinstance(self.document, bytes) else json.dumps(self.document).encode()
        return server.Response(status=self.status, body=body, headers=headers)


@pytest_asyncio.fixture
async def provider() -> AsyncIterator[Provider]:
    provider = Provider()
    application = server.Application()
    application.router.add_get("/{path:.*}", provider.answer)
    runner = server.AppRunner(application)
    await runner.setup()
    site = server.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    provider.url = f"http://127.0.0.1:{runner.addresses[0][1]}/jwks.json"
    yield provider
    provider.answering.set()
    await runner.cleanup()


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keys(provider: Provider, clock: Clock) -> Jwks:
    return Jwks(provider.url, clock=clock)


def header(kid: str | None = "RS256-1", alg: str = "RS256") -> dict[str, Any]:
    return {"alg": alg, "kid": kid} if kid else {"alg": alg}


async def status(web: Web, given: str) -> int:
    async with web.client() as client:
        return (await client.post(URL, headers={"authorization": f"Bearer {given}"})).status_code


@pytest.mark.parametrize("alg", PRIVATE)
async def test_a_token_of_the_provider_holds(provider: Provider, alg: str) -> None:
    web = Web(settings=settings(jwks_url=provider.url))
    async with web.client() as client:
        # The shared secret goes on beside the keys.
        for given in (signed(alg, f"{alg}-1"), signed(alg, None), token()):
            answer = await client.post(URL, headers={"authorization": f"Bearer {given}"})
            assert (answer.status_code, web.requests.last.caller.subject) == (200, "u1")
    assert provider.asked == 1


async def test_the_secret_is_not_needed(provider: Provider) -> None:
    web = Web(settings=settings(jwks_url=provider.url, jwt_secret=None))
    assert await status(web, signed("RS256", "RS256-1")) == 200
    assert await status(web, token()) == 401


async def test_a_public_key_signs_nothing(provider: Provider) -> None:
    """Algorithm confusion, in every form of the key that an attacker has."""
    web = Web(settings=settings(jwks_url=provider.url, jwt_secret=None))
    encoding, form = serialization.Encoding, serialization.PublicFormat
    public = RSA.public_key()
    texts = [
        public.public_bytes(encoding.PEM, form.SubjectPublicKeyInfo),
        public.public_bytes(encoding.DER, form.SubjectPublicKeyInfo),
        json.dumps(published("RS256", "RS256-1")).encode(),
        published("RS256", None)["n"].encode(),
    ]
    for text in texts:
        head = {"alg": "HS256", "kid": "RS256-1"}
        forged = jwt.PyJWS(algorithms=["HS256"])
        forged._algorithms["HS256"].prepare_key = lambda key: key  # type: ignore[method-assign]
        given = forged.encode(b'{"role":"service_role"}', text, "HS256", head)
        assert await status(web, given) == 401
    assert web.requests.asked == []


async def test_a_key_is_good_for_its_own_algorithm_alone(provider: Provider) -> None:
    web = Web(settings=settings(jwks_url=provider.url))
    given = signed("ES256", "RS256-1")  # names another kind of key
    assert await status(web, given) == 401
    stranger = ec.generate_private_key(ec.SECP256R1())
    assert await status(web, signed("ES256", "ES256-1", key=stranger)) == 401
    weak = rsa.generate_private_key(65537, 2048)
    assert await status(web, jwt.encode({"role": "anon"}, weak, "RS512", {"kid": "RS256-1"})) == 401


async def test_keys_that_are_no_good_are_passed_over(provider: Provider, keys: Jwks) -> None:
    short = published("RS256", "short", rsa.generate_private_key(65537, 1024))
    provider.document = {
        "keys": [
            {"kty": "oct", "kid": "secret", "k": "c2VjcmV0", "alg": "HS256"},
            {"kty": ["RSA"], "kid": "odd"},
            {"kty": "RSA", "kid": "empty"},
            short,
            published("RS256", "for-encryption", use="enc"),
            {**published("RS256", "other-alg"), "alg": "RS512"},
            published("RS256", "good"),
        ]
    }
    assert await keys.find(header("good")) is not None
    for kid in ("secret", "odd", "empty", "short", "for-encryption", "other-alg"):
        assert await keys.find(header(kid)) is None
    assert await keys.find(header("secret", "HS256")) is None
    assert await keys.find(header("good", "none")) is None


async def test_rotation(provider: Provider, keys: Jwks, clock: Clock) -> None:
    assert await keys.find(header()) is not None
    provider.document = {"keys": [published("RS256", "RS256-2")]}
    clock.now += 10
    assert await keys.find(header("RS256-2")) is not None  # a new name is asked for at once
    assert await keys.find(header()) is None  # and the old one is gone


async def test_a_flood_of_unknown_names_asks_the_provider_once(
    provider: Provider, keys: Jwks, clock: Clock
) -> None:
    assert await keys.find(header()) is not None
    for _ in range(3):
        clock.now += 10
        found = await asyncio.gather(*(keys.find(header(f"made-up-{n}")) for n in range(500)))
        assert set(found) == {None}
    assert provider.asked == 1 + 3
    clock.now += 9
    assert await keys.find(header("made-up")) is None
    assert provider.asked == 1 + 3


async def test_known_keys_never_wait_for_the_provider(provider: Provider, keys: Jwks, clock: Clock) -> None:
    assert await keys.find(header()) is not None
    provider.answering.clear()
    clock.now += 601
    assert await keys.find(header()) is not None  # renewed in the background
    waiting = asyncio.create_task(keys.find(header("made-up")))
    assert await keys.find(header()) is not None
    assert not waiting.done()
    provider.answering.set()
    assert await waiting is None
    assert provider.asked == 2


@pytest.mark.parametrize("broken", [500, 302, b"no json", b'{"keys": 7}', b"[" * 9999, b" " * (2 << 20)])
async def test_while_the_provider_is_away_its_keys_stay_good_for_a_day(
    provider: Provider, keys: Jwks, clock: Clock, broken: Any
) -> None:
    assert await keys.find(header()) is not None
    if isinstance(broken, int):
        provider.status = broken
    else:
        provider.document = broken
    clock.now += 86_000
    assert await keys.find(header()) is not None
    clock.now += 500
    with pytest.raises(KeysUnavailable):
        await keys.find(header())
    provider.status, provider.document = 200, {"keys": [published("RS256", "RS256-1")]}
    clock.now += 10
    assert await keys.find(header()) is not None


async def test_a_provider_that_was_never_reached_is_503(provider: Provider) -> None:
    web = Web(settings=settings(jwks_url="http://127.0.0.1:9/jwks.json"))
    async with web.client() as client:
        answer = await client.post(URL, headers={"authorization": f"Bearer {signed('RS256', 'RS256-1')}"})
        assert (answer.status_code, answer.json()["code"]) == (503, "keys_unavailable")
        assert answer.headers["retry-after"]
        assert (await client.post(URL)).status_code == 200
        assert (await client.post(URL, headers={"authorization": f"Bearer {token()}"})).status_code == 200


async def test_a_withdrawn_key_ends_its_tokens_that_were_kept(provider: Provider) -> None:
    from aerofn.web.auth import Tokens

    now = [1_800_000_000.0]
    tokens = Tokens(settings(jwks_url=provider.url), clock=lambda: now[0])
    given = {"authorization": "Bearer " + jwt.encode({"role": "anon"}, RSA, "RS256", {"kid": "RS256-1"})}
    first = await tokens.caller(given, "")
    now[0] += 299
    assert await tokens.caller(given, "") is first
    now[0] += 2
    assert await tokens.caller(given, "") is not first
    with pytest.raises(InvalidToken):
        await tokens.caller({"authorization": "Bearer x"}, "")
