"""Takes AeroFn out of a database: `aerofn uninstall`. Afterwards all rights are what they were before `migrate`.

One transaction. Roles belong to the whole server: one that another database, or somebody's table, still needs
is kept and named.
"""

from typing import NamedTuple

import asyncpg

from aerofn import sql
from aerofn.db.pool import Connection
from aerofn.errors import Conflict, NotAllowed, NotFound

_Q = sql.queries("uninstall")


class Removed(NamedTuple):
    """What is gone, and the roles that stay because something still needs them, each with what that is."""

    roles: list[str]
    kept: dict[str, str]


class _NotMeant(Exception):
    """Undoes the transaction of a dry run."""


async def check(conn: Connection) -> None:
    """See that it can be taken out, so that nobody is asked in vain.

    Raises:
        AeroFnError: as `uninstall` does.
    """
    async with conn.transaction():
        await conn.execute(sql.queries("migrate").begin_migration)
        await _check(conn)


async def uninstall(conn: Connection, *, dry_run: bool = False) -> Removed:
    """Give back what hardening took, drop AeroFn's schemas with all events and functions, and its roles.

    Args:
        dry_run: undo it all at the end.

    Raises:
        NotFound: AeroFn is not installed there.
        Conflict: nodes are running, or something of the application's needs AeroFn's functions.
        NotAllowed: a superuser hardened this database, and this user is none.
    """
    removed = Removed([], {})
    try:
        async with conn.transaction():
            await conn.execute(sql.queries("migrate").begin_migration)
            await _check(conn)
            removed = await _remove(conn)
            if dry_run:
                raise _NotMeant
    except _NotMeant:
        pass
    return removed


async def _check(conn: Connection) -> None:
    if not await conn.fetchval(sql.queries("migrate").is_installed):
        raise NotFound("AeroFn is not installed in this database")
    if nodes := await conn.fetchval(_Q.live_nodes):
        raise Conflict(
            "nodes are running on this database",
            detail=f"how many: {nodes}",
            hint="stop them, then try again",
        )
    if users := [row["object"] for row in await conn.fetch(_Q.users)]:
        raise Conflict(
            "this database still needs AeroFn's functions",
            detail="; ".join(users),
            hint="change these to do without, or drop them, then try again",
        )
    superuser = await conn.fetchval(sql.queries("harden").as_superuser)
    if await conn.fetchval(_Q.hardened) and not superuser:
        raise NotAllowed(
            "a superuser hardened this database, and only one can give back what that took",
            hint="run it with a superuser's --database-url",
        )


async def _remove(conn: Connection) -> Removed:
    memberships = [row["role"] for row in await conn.fetch(_Q.memberships)]
    roles = [row["role"] for row in await conn.fetch(_Q.roles)]
    if await conn.fetchval(_Q.hardened):
        await conn.execute(sql.queries("harden").unharden)
    for row in await conn.fetch(_Q.auth_functions):
        await conn.execute(_Q.function.format(function=row["function"]))
    if what := await conn.fetchval(_Q.our_auth_schema):
        await conn.execute(_Q.drop_auth if what == "drop" else _Q.leave_auth)
    await conn.execute(_Q.schemas)
    removed = Removed([], {})
    for role in roles:
        await _remove_role(conn, role, removed)
    for role in memberships:
        if role not in removed.roles:
            await conn.execute(_Q.membership.format(role=_quoted(role)))
    return removed


async def _remove_role(conn: Connection, role: str, removed: Removed) -> None:
    try:
        async with conn.transaction():
            await conn.execute(_Q.role.format(role=_quoted(role)))
    except (asyncpg.DependentObjectsStillExistError, asyncpg.InsufficientPrivilegeError) as error:
        removed.kept[role] = (error.as_dict().get("detail") or str(error)).replace("\n", "; ")
    else:
        removed.roles.append(role)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
