"""`aerofn secrets`: set, list, seal, rotate and remove, through the database and over HTTP."""

import json

import jwt
import pytest

from aerofn.db.sealing import Wrapping, new_private_key
from tests.conftest import compiled

from .cli_kit import SECRET, aerofn, serving

OLD, NEW = "the key that these tests have begun with", "the key that these tests will change to"
VALUE = "whsec_a value for these tests"


@pytest.fixture
async def keyed(database):
    conn = await database.connect()
    private = new_private_key()
    modulus = str(private.public_key().public_numbers().n)
    await conn.execute(
        "SELECT aerofn_internal.offer_key_pair($1::text::numeric, $2)", modulus, Wrapping([OLD]).wrap(private)
    )
    return conn


async def opened(conn, *keys: str) -> dict[str, str]:
    row = await conn.fetchrow("SELECT id, modulus::text AS modulus, wrapped FROM aerofn_internal.key_pairs")
    pair = Wrapping(keys).unwrap(row["id"], int(row["modulus"]), row["wrapped"])
    rows = await conn.fetch("SELECT name, sealed FROM aerofn_internal.secrets")
    return {name: pair.open(name, sealed) for name, sealed in rows}


async def test_a_life(keyed, database):
    async def secrets(*arguments: str, given: str = "", **more: str):
        said = await aerofn("secrets", *arguments, given=given, DATABASE_URL=database.url, **more)
        assert said.code == 0, said.err
        assert VALUE not in said.out + said.err
        return said

    assert "no secrets yet" in (await secrets("list")).err
    assert "fingerprint" in (await secrets("set", "HOOK", given=f"{VALUE}\n")).out
    sealed = (await secrets("seal", "OTHER", given=VALUE)).out.strip()
    await keyed.execute("SELECT aerofn.set_secret('OTHER', sealed => $1)", sealed)
    (hook, other) = (await secrets("list", "--json")).json
    assert hook.keys() == {"name", "fingerprint", "author", "created_at", "updated_at"}
    assert other["name"] == "OTHER"
    said = await secrets("rotate", AEROFN_SECRET_KEY=f"{NEW},{OLD}")
    assert "2 secrets" in said.out
    assert await opened(keyed, NEW) == {"HOOK": VALUE, "OTHER": VALUE}
    await secrets("remove", "OTHER")
    assert [row["name"] for row in (await secrets("list", "--json")).json] == ["HOOK"]


@pytest.mark.parametrize(
    ("arguments", "given", "variables", "code", "says"),
    [
        (("set", "A"), "short", {}, 1, "8 to 16384 bytes"),
        (("set", "1A"), VALUE, {}, 1, "cannot have this name"),
        (("remove", "A"), "", {}, 1, "no secret 'A'"),
        (("rotate",), "", {}, 2, "AEROFN_SECRET_KEY is not set"),
        (("rotate",), "", {"AEROFN_SECRET_KEY": NEW}, 2, "does not open"),
        (("rotate",), "", {"AEROFN_SECRET_KEY": "short"}, 2, "32 characters"),
    ],
)
async def test_what_is_refused(keyed, database, arguments, given, variables, code, says):
    said = await aerofn("secrets", *arguments, given=given, DATABASE_URL=database.url, **variables)
    assert (said.code, says in said.err) == (code, True), said.err
    assert VALUE not in said.err


async def test_over_http(keyed, database):
    token, user = (jwt.encode({"role": role}, SECRET) for role in ("service_role", "authenticated"))
    async with serving(database.url, compiled(), AEROFN_SECRET_KEY=OLD) as (_, url):

        async def curl(*arguments: str, token: str = token) -> tuple[int, str]:
            return await request(url, *arguments, token=token)

        status, body = await curl("PUT", "/secrets/HOOK", json.dumps({"value": VALUE}))
        assert (status, json.loads(body).keys()) == (200, {"name", "fingerprint"})
        status, body = await curl("GET", "/secrets")
        assert (status, [row["name"] for row in json.loads(body)]) == (200, ["HOOK"])
        assert VALUE not in body
        assert await opened(keyed, OLD) == {"HOOK": VALUE}
        for arguments, wanted in (
            (("PUT", "/secrets/A", f'{{"value": "{VALUE}", "more": 1}}'), 400),
            (("PUT", "/secrets/A", f'"{VALUE}"'), 400),
            (("PUT", "/secrets/A", '{"value": "short"}'), 400),
            (("PUT", "/secrets/A-B", f'{{"value": "{VALUE}"}}'), 400),
            (("PUT", "/secrets/A", r'{"value": "\ud800 half of a pair"}'), 400),
            (("GET", "/secrets/HOOK"), 405),
            (("DELETE", "/secrets/NOTHING"), 404),
            (("DELETE", "/secrets/%00"), 404),
            (("PUT", "/secrets/%00", f'{{"value": "{VALUE}"}}'), 400),
            (("DELETE", "/secrets/HOOK"), 204),
        ):
            status, body = await curl(*arguments)
            assert (status, VALUE in body) == (wanted, False), (arguments, body)
        assert (await curl("GET", "/secrets", token=user))[0] == 403
        assert (await curl("PUT", "/secrets/A", "{}", token=""))[0] == 401


async def request(url: str, method: str, path: str, body: str = "", *, token: str) -> tuple[int, str]:
    import aiohttp

    headers = {"authorization": f"Bearer {token}"} if token else {}
    async with (
        aiohttp.ClientSession(headers=headers) as client,
        client.request(method, f"{url}/manage/v1{path}", data=body or None) as response,
    ):
        return response.status, await response.text()
