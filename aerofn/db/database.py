"""Statements through the service's pool, with PostgreSQL's errors told as AeroFn's."""

from collections.abc import Awaitable
from typing import Any, TypeVar

import asyncpg

from aerofn.db.pool import BROKEN, Pool, unavailable
from aerofn.errors import AeroFnError, Conflict, InvalidRequest, LeaseLost, NotAllowed, NotFound

T = TypeVar("T")
_AWAY = (*BROKEN, TimeoutError, asyncpg.PostgresError)

# What the functions of schema `aerofn` raise, by SQLSTATE.
_KINDS: dict[str, type[AeroFnError]] = {
    "42883": NotFound,  # undefined_function
    "P0002": NotFound,  # no_data_found
    "42704": NotFound,  # undefined_object
    "42P01": NotFound,  # undefined_table
    "2BP01": Conflict,  # dependent_objects_still_exist
    "55006": Conflict,  # object_in_use
    "55000": Conflict,  # object_not_in_prerequisite_state
    "42710": Conflict,  # duplicate_object
    "42501": NotAllowed,
    "22023": InvalidRequest,  # invalid_parameter_value
    "42602": InvalidRequest,  # invalid_name
    "AF001": LeaseLost,
    "42809": InvalidRequest,  # wrong_object_type
    "22021": InvalidRequest,  # character_not_in_repertoire: U+0000
    "22P05": InvalidRequest,  # untranslatable_character: the same, in JSON
    "22P02": InvalidRequest,  # invalid_text_representation: JSON that only PostgreSQL finds wrong
    "22003": InvalidRequest,  # numeric_value_out_of_range: a number in JSON
}


class Database:
    """The service's pool. Every method is one statement, and raises DatabaseUnavailable when it cannot be run."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._kept: Any = None
        self._closed = False

    async def fetch(self, statement: str, *arguments: Any) -> list[Any]:
        """All rows."""
        return list(await _told(self._pool.fetch(statement, *arguments)))

    async def fetch_at_once(self, statement: str, *arguments: Any) -> list[Any]:
        """All rows, by a connection that is kept for this: without the pool's turns before and after."""
        connection, self._kept = self._kept or await _told(self._pool.acquire()), None
        try:
            rows = list(await _told(_fetch(connection, statement, *arguments)))
        except BaseException:
            await self._pool.release(connection)
            raise
        if self._closed or self._kept is not None:
            await self._pool.release(connection)
        else:
            self._kept = connection
        return rows

    async def close(self) -> None:
        """Give the kept connection back; the pool is its maker's to close."""
        self._closed = True
        connection, self._kept = self._kept, None
        if connection is not None:
            await self._pool.release(connection)

    async def fetchrow(self, statement: str, *arguments: Any) -> Any:
        """The first row, or None."""
        return await _told(self._pool.fetchrow(statement, *arguments))

    async def fetchval(self, statement: str, *arguments: Any) -> Any:
        """The first row's first column, or None."""
        return await _told(self._pool.fetchval(statement, *arguments))

    async def execute(self, statement: str, *arguments: Any) -> None:
        """Run it; no rows."""
        await _told(self._pool.execute(statement, *arguments))

    async def call(self, statement: str, *arguments: Any) -> Any:
        """Call a function of schema `aerofn`: its own complaints are raised as errors for the user.

        Raises:
            NotFound, Conflict, NotAllowed, InvalidRequest: what it complained about.
        """
        return await _complained(self._pool.fetchval(statement, *arguments))

    async def call_row(self, statement: str, *arguments: Any) -> Any:
        """The same for a function that returns a row."""
        return await _complained(self._pool.fetchrow(statement, *arguments))


async def _fetch(connection: Any, statement: str, *arguments: Any) -> list[Any]:
    """All rows. A connection that broke while it was kept raises when it is called, not when it is awaited."""
    return list(await connection.fetch(statement, *arguments))


async def _complained(asked: Awaitable[T]) -> T:
    try:
        return await asked
    except _AWAY as error:
        kind = _KINDS.get(getattr(error, "sqlstate", ""))
        if kind is None or not isinstance(error, asyncpg.PostgresError):
            raise unavailable(error) from error
        fields = error.as_dict()
        raise kind(fields["message"], detail=fields.get("detail"), hint=fields.get("hint")) from error


async def _told(asked: Awaitable[T]) -> T:
    try:
        return await asked
    except _AWAY as error:
        raise unavailable(error) from error
