"""The command line's own database connection, with PostgreSQL's complaints told as AeroFn's errors."""

import contextlib
from collections.abc import AsyncIterator

import asyncpg
import msgspec

from aerofn.db.pool import BROKEN, Connection, connect
from aerofn.errors import AeroFnError, DatabaseUnavailable, NotAllowed
from aerofn.settings import from_env

_ABSENT = (asyncpg.InvalidSchemaNameError, asyncpg.UndefinedTableError)


@contextlib.asynccontextmanager
async def connected(database_url: str | None = None) -> AsyncIterator[Connection]:
    """A connection as the user of `database_url`, by default of `DATABASE_URL`; json columns are decoded.

    Raises:
        SettingsError: no database is set.
        AeroFnError: it cannot be reached, or what PostgreSQL said to a statement run meanwhile.
    """
    connection = await connect(from_env(database_url=database_url))
    try:
        for name in ("json", "jsonb"):
            await connection.set_type_codec(
                name, encoder=str, decoder=msgspec.json.decode, schema="pg_catalog"
            )
        yield connection
    except asyncpg.PostgresError as error:
        raise told(error) from error
    except BROKEN as error:
        raise DatabaseUnavailable("the connection to the database was lost", detail=str(error)) from error
    finally:
        await connection.close(timeout=5)


def told(error: asyncpg.PostgresError) -> AeroFnError:
    """The error of PostgreSQL, or of a function of schema `aerofn`, in its own words."""
    fields = error.as_dict()
    message, state = fields["message"], fields.get("sqlstate")
    if isinstance(error, _ABSENT) and '"aerofn' in message:
        return DatabaseUnavailable(
            "AeroFn is not installed in this database",
            detail=message,
            hint="install it with: aerofn migrate",
        )
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        hint = fields.get("hint") or "the user of DATABASE_URL must be a member of aerofn_admin"
        return NotAllowed(message, detail=fields.get("detail"), hint=hint)
    return AeroFnError(message, detail=fields.get("detail"), hint=fields.get("hint"), code=state)
