"""`aerofn uninstall` and `aerofn logins rotate`."""

from aerofn import sql
from aerofn.cli.asking import sure
from aerofn.cli.connection import connected
from aerofn.cli.output import GOOD, console
from aerofn.db import logins
from aerofn.db import uninstall as database


async def uninstall(database_url: str | None, *, dry_run: bool, ask: bool) -> None:
    """Take AeroFn out of the database, or only say what that would remove.

    Args:
        ask: before it, if it is meant.

    Raises:
        AeroFnError: nothing was changed; says why.
    """
    async with connected(database_url) as connection:
        await database.check(connection)
        if ask and not dry_run:
            name = await connection.fetchval(sql.queries("uninstall").database)
            sure(f"All functions, events and records of database {name} will be gone for good. Go on?")
        removed = await database.uninstall(connection, dry_run=dry_run)
    out, would = console(), "would be " if dry_run else ""
    out.print(f"schemas {would}removed: aerofn, aerofn_internal, aerofn_auth, aerofn_run")
    out.print(f"roles {would}removed: {', '.join(removed.roles) or 'none'}")
    for role, why in removed.kept.items():
        out.print(f"role {role} {would}kept: {why}")


async def rotate(database_url: str | None) -> None:
    """Give every login a new password.

    Raises:
        AeroFnError: none has one; says why.
    """
    async with connected(database_url) as connection:
        changed = await logins.rotate_credentials(connection)
    console().print(f"{changed} logins have new passwords", style=GOOD)
