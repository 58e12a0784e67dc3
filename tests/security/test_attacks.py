"""Every attack, by real components, as every exposed role, beside honest callers who must never notice."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from .arena import MALLORY, PATIENCE_S, VICTIM, Arena, Attack, attacks
from .known import FOUND_BY_DOCTOR, HARMLESS, INHERENT, NOT_HARDENED

ROLES = ["anon", "authenticated", "service_role"]
TRIAL, OWN = attacks("attacks.json"), attacks("own_attacks.json")


def excused(attack: Attack, role: str, *, hardened: bool) -> bool:
    """Whether docs/security.md names this win."""
    if role == "service_role" and ("victim" in attack.win or attack.category in ("data", "claims")):
        return True  # BYPASSRLS: it may
    lists = [HARMLESS, INHERENT, FOUND_BY_DOCTOR] + ([] if hardened else [NOT_HARDENED])
    return any(attack.name in known for known in lists)


async def fought(arena: Arena, role: str, chosen: list[Attack]) -> list[str]:
    """The attacks that won without excuse, and those that hung or left a connection on which the next one did."""
    version = arena.admin.get_server_version().major
    await arena.admin.execute("SELECT setseed(0.5)")
    background = await arena.peer(role)
    seed = str([(await arena.admin.fetchval("SELECT random()"),)])
    victim = await arena.send(role, VICTIM, [("SELECT current_setting('aerofn.caller')", [])], PATIENCE_S)
    facts = {"background": background, "SEED": seed, "STOLEN": victim.rows[3:-4]}
    assert len(facts["STOLEN"]) > 64
    lost: list[str] = []

    async def fight(attack: Attack) -> None:
        seen = await arena.fight(attack, role, facts)
        if seen.hung:
            lost.append(f"{attack.name}: {seen.hung} did not end")
        elif seen.won and not excused(attack, role, hardened=arena.hardened):
            lost.append(attack.name)

    chosen = [attack for attack in chosen if attack.pg in (None, version)]
    for attack in chosen:
        if attack.next:  # the next invocation must get the same connection
            await fight(attack)
    alone = asyncio.Semaphore(6)

    async def beside(attack: Attack) -> None:
        async with alone:
            await asyncio.gather(fight(attack), arena.honest())

    await asyncio.gather(*(beside(attack) for attack in chosen if not attack.next))
    assert await background.fetchval("SELECT 1") == 1
    await background.close()
    return sorted(lost)


@pytest.mark.parametrize("role", ROLES)
async def test_the_attacks_of_the_trial(arena, role):
    assert await fought(arena, role, TRIAL) == []


@pytest.mark.parametrize("role", ROLES)
async def test_our_own_attacks(arena, role):
    assert await fought(arena, role, OWN) == []


async def test_whoever_had_the_rights_would_win(arena):
    """What is won by not being refused is won by a superuser: an attack that fails by itself says nothing."""
    by_no_refusal = [a for a in OWN if a.win.startswith("not E") and a.category in ("executor", "claims")]
    assert len(by_no_refusal) == 25
    assert [a.name for a in by_no_refusal if not await won_by_a_superuser(arena.admin, a)] == []


async def won_by_a_superuser(conn: asyncpg.Connection, attack: Attack) -> bool:
    """The same statements with every right, and undone."""
    try:
        async with aside(conn):
            await conn.execute("SELECT nextval('aerofn_auth.caller_high')")  # so that there is a currval()
            for statement in attack.sql:
                await conn.execute(statement)
    except asyncpg.PostgresError as error:
        return bool(eval(attack.win, {}, {"E": str(error)}))
    return bool(eval(attack.win, {}, {"E": ""}))


@asynccontextmanager
async def aside(conn: asyncpg.Connection) -> AsyncIterator[None]:
    """A transaction, or a savepoint of it, of which nothing stays."""
    undone = conn.transaction()
    await undone.start()
    try:
        yield
    finally:
        await undone.rollback()


def test_the_suite_is_as_large_as_promised():
    assert len(TRIAL) == 119
    assert len(OWN) >= 60
    assert len({attack.name for attack in TRIAL + OWN}) == len(TRIAL) + len(OWN)
    assert MALLORY != VICTIM
