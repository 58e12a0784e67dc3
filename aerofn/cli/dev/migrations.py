"""The project's own schema: `db/*.sql`, each file once, in the order of their names."""

import hashlib
from pathlib import Path

import asyncpg

from aerofn import sql
from aerofn.db.pool import Connection
from aerofn.errors import AeroFnError, Conflict

_Q = sql.queries("dev")


async def apply(db: Connection, folder: Path) -> list[str]:
    """Apply what is new, each file in a transaction of its own; answers the names.

    Raises:
        Conflict: a file that was applied has changed since.
        AeroFnError: a file does not work, with its line; those before it were applied.
    """
    await db.execute(_Q.make_migrations)
    done = {row["name"]: row["checksum"] for row in await db.fetch(_Q.migrations)}
    applied = []
    for file in sorted((folder / "db").glob("*.sql")):
        text = file.read_text(encoding="utf-8")
        checksum = hashlib.sha256(text.encode()).hexdigest()
        if file.name not in done:
            await _apply(db, file, text, checksum)
            applied.append(file.name)
        elif done[file.name] != checksum:
            raise Conflict(
                f"db/{file.name} has changed since it was applied",
                hint="put the change in a new file, or start over with an empty database: aerofn dev --fresh",
            )
    return applied


async def _apply(db: Connection, file: Path, text: str, checksum: str) -> None:
    try:
        async with db.transaction():
            await db.execute(text)
            await db.execute(_Q.add_migration, file.name, checksum)
    except asyncpg.PostgresError as error:
        where = int(error.position or 0)
        line = text.count("\n", 0, where) + 1 if where else None
        raise AeroFnError(
            f"db/{file.name}{f':{line}' if line else ''}: {error.message}",
            detail=error.detail, hint=error.hint, code=error.sqlstate,
        ) from None  # fmt: skip
