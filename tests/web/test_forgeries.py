"""Tokens with wrong signatures are slowed down by address; tokens that were genuine are not counted."""

import time

import httpx
from web_kit import Web, bearer, settings, token

from aerofn.web.forgeries import Forgeries

URL = "/functions/v1/hello"


def forged(number: int = 0) -> dict[str, str]:
    return bearer(key=f"a secret that somebody has guessed, the {number}th")


def client_at(web: Web, address: str) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(web.application(), client=(address, 1))
    return httpx.AsyncClient(transport=transport, base_url="http://aerofn")


async def test_guesses_end_in_429_for_that_address_alone() -> None:
    web = Web(settings=settings(forgery_rate="3/hour"))
    app = web.application()
    good, late = bearer(sub="known"), bearer(sub="unknown")

    async def ask(address: str, headers: dict[str, str]) -> httpx.Response:
        transport = httpx.ASGITransport(app, client=(address, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://aerofn") as client:
            return await client.post(URL, headers=headers)

    assert (await ask("10.0.0.1", good)).status_code == 200
    assert [(await ask("10.0.0.1", forged(n))).status_code for n in range(4)] == [401, 401, 401, 429]
    answer = await ask("10.0.0.1", late)  # it could be a guess
    assert (answer.status_code, answer.json()["code"]) == (429, "too_many_bad_tokens")
    assert 0 < int(answer.headers["retry-after"]) <= 1200
    assert (await ask("10.0.0.1", good)).status_code == 200  # one that is known goes on
    assert (await ask("10.0.0.1", {})).status_code == 200  # and so does no token
    assert (await ask("10.0.0.2", late)).status_code == 200


async def test_a_genuine_token_that_does_not_hold_is_no_guess() -> None:
    web = Web(settings=settings(forgery_rate="2/hour", jwt_audience="a"))
    wrong = [{"aud": "b"}, {"aud": None}, {"aud": "a", "exp": int(time.time()) - 60},
             {"aud": "a", "nbf": int(time.time()) + 900}]  # fmt: skip
    async with client_at(web, "10.0.0.1") as client:
        for claims in wrong * 2:
            assert (await client.post(URL, headers=bearer(**claims))).status_code == 401
        postgres = {"authorization": f"Bearer {token('postgres', aud='a')}"}
        assert (await client.post(URL, headers=postgres)).status_code == 403


async def test_malformed_tokens_and_other_algorithms_are_guesses() -> None:
    web = Web(settings=settings(forgery_rate="4/hour"))
    async with client_at(web, "10.0.0.1") as client:
        for given in ("x", "a.b.c", token()[:-3], token(alg="HS512")):
            answer = await client.post(URL, headers={"authorization": f"Bearer {given}"})
            assert answer.status_code == 401
        assert (await client.get("/manage/v1/functions", headers=forged())).status_code == 429


def test_a_site_of_ipv6_is_one_address() -> None:
    forgeries = Forgeries("1/hour")
    forgeries.count("2001:db8::1")
    for address, wait in [("2001:db8::ffff", True), ("2001:db8:0:1::1", False), ("fe80::1%eth0", False)]:
        assert bool(forgeries._rates.wait("1/hour", _site(address))) is wait


def _site(address: str) -> str:
    from aerofn.web import forgeries

    return forgeries._site(address)
