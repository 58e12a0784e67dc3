"""`/manage/v1/invocations`: what ran. For the admin role."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

import msgspec
from msgspec import Meta
from starlette.requests import Request

from aerofn.db.records import ListedRecord, Records, Wanted
from aerofn.errors import InvalidRequest
from aerofn.model import Status
from aerofn.web.answer import Answer, json_answer
from aerofn.web.auth import Tokens
from aerofn.web.events import Text
from aerofn.web.operation import operation
from aerofn.web.query import query_of

_FILTER_HINT = (
    "status is an outcome, or failed for all but success; since is in milliseconds since 1970; "
    "order is newest or oldest"
)


_1970 = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST_MS = 253_402_300_799_999  # of the year 9999


class RecordFilter(msgspec.Struct, forbid_unknown_fields=True):
    """Which records to list."""

    function: Text | None = None
    status: Status | None = None
    since: Annotated[int, Meta(ge=0, le=_LATEST_MS)] | None = None
    order: Literal["newest", "oldest"] = "newest"
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class InvocationRoutes:
    """Invocation records over HTTP. Raises InvalidToken or NotAllowed if the caller may not see them."""

    def __init__(self, records: Records, tokens: Tokens) -> None:
        self._records = records
        self._tokens = tokens

    @operation(
        "List invocations", answers={200: list[ListedRecord]}, query=RecordFilter, errors=[InvalidRequest]
    )
    async def list(self, request: Request) -> Answer:
        """Records with their logs; `?function=&status=&since=&order=&limit=`.

        To follow what runs, ask for the oldest since a little before the last one seen: nodes write their records
        within a moment, and not in the order of their times.

        Raises:
            InvalidRequest: a parameter that there is not, or that cannot be right.
        """
        await self._tokens.admin(request.scope)
        chosen = query_of(request, RecordFilter, _FILTER_HINT)
        since = None if chosen.since is None else _1970 + timedelta(milliseconds=chosen.since)
        wanted = Wanted(chosen.function, chosen.status, since)
        if chosen.order == "oldest":
            return json_answer(await self._records.oldest(wanted, chosen.limit))
        return json_answer(await self._records.newest(wanted, chosen.limit, whole=True))
