"""Where a command works: by the HTTP API of a service, or by SQL in its database."""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from aerofn.cli.connection import connected
from aerofn.errors import NotFound

if TYPE_CHECKING:
    from aerofn.cli.remote import Service

_TIMES = ("timestamp", "run_at", "created_at", "updated_at", "next_at", "lease_until")
Row = dict[str, Any]


class Http(NamedTuple):
    """A request of the HTTP API; `query` may have values that are None, which are left out."""

    method: str
    path: str
    query: Mapping[str, Any] = {}
    body: Any = None


class Where(NamedTuple):
    """The options of a command: `--url` counts unless `--database-url` is given too."""

    database_url: str | None
    url: str | None
    token: str | None

    async def rows(self, http: Http, statement: str, *arguments: Any) -> list[Row]:
        """What the service answers to `http`, or the database to `statement`.

        Raises:
            AeroFnError: why there is no answer.
        """
        if (service := self._service) is not None:
            return [_with_times(row) for row in await service.ask(*http)]
        async with connected(self.database_url) as db:
            return [dict(row) for row in await db.fetch(statement, *arguments)]

    async def row(self, http: Http, statement: str, *arguments: Any) -> Row | None:
        """The same for one thing; None if it is not there."""
        if (service := self._service) is not None:
            try:
                return _with_times(await service.ask(*http))
            except NotFound:
                return None
        found = await self.rows(http, statement, *arguments)
        return found[0] if found else None

    async def change(self, http: Http, statement: str, *arguments: Any) -> Any:
        """Change something; what the service answers, or the statement returns.

        Raises:
            AeroFnError: why it is not changed.
        """
        if (service := self._service) is not None:
            return await service.ask(*http)
        async with connected(self.database_url) as db:
            return await db.fetchval(statement, *arguments)

    @property
    def _service(self) -> "Service | None":
        if self.url is None or self.database_url is not None:
            return None
        from aerofn.cli.remote import Service  # noqa: PLC0415  a fifth of a second, for its HTTP client

        return Service(self.url, self.token)


def path(*parts: str | int) -> str:
    """A path of the management API; the parts may hold any characters."""
    return "/manage/v1/" + "/".join(quote(str(part), "") for part in parts)


def _with_times(row: Row) -> Row:
    times = {key: datetime.fromisoformat(row[key]) for key in _TIMES if row.get(key)}
    return row | times
