"""Triggers of every kind, as HTTP shows and changes them. Every method may also raise DatabaseUnavailable."""

from datetime import datetime
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta

from aerofn import sql
from aerofn.db.database import Database
from aerofn.errors import NotFound

_Q = sql.queries("triggers")
Attempts = Annotated[int, Meta(ge=1, le=100)]


class ScheduleOptions(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="schedule", tag_field="kind"
):
    """What makes a schedule, as `aerofn.create_schedule()` takes it."""

    function: str
    cron: str
    timezone: str = "UTC"
    name: str | None = None
    missed: str = "skip"
    payload: msgspec.Raw = msgspec.field(default_factory=lambda: msgspec.Raw(b"null"))
    run_as: str | None = None
    max_attempts: Attempts = 5


class WebhookOptions(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="webhook", tag_field="kind"
):
    """What makes a webhook, as `aerofn.create_webhook()` takes it."""

    function: str
    scheme: str
    secrets: tuple[str, ...]
    name: str | None = None
    header: str | None = None
    encoding: str | None = None
    prefix: str | None = None
    id_from: str | None = None
    tolerance_s: Annotated[int, Meta(ge=1, le=86_400)] = 300
    max_kb: Annotated[int, Meta(ge=1, le=25_600)] = 1024
    run_as: str | None = None
    max_attempts: Attempts = 5


class ListedTrigger(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A trigger as the view `aerofn.triggers` has it: only what its kind has. `next` are times of a schedule."""

    name: str
    kind: str
    function: str
    enabled: bool
    run_as: str
    max_attempts: int
    created_by: str
    created_at: datetime
    schema: str | None = None
    table: str | None = None
    events: list[str] | None = None
    when: str | None = None
    columns: list[str] | None = None
    ordered_by: str | None = None
    batch_size: int = 1
    cron: str | None = None
    timezone: str | None = None
    missed: str | None = None
    payload: msgspec.Raw | None = None
    next_at: datetime | None = None
    error: str | None = None
    scheme: str | None = None
    secrets: list[str] | None = None
    header: str | None = None
    encoding: str | None = None
    prefix: str | None = None
    id_from: str | None = None
    tolerance_s: int | None = None
    max_kb: int | None = None
    next: list[datetime] | None = None


class Times(NamedTuple):
    """What the times of a schedule are computed from; see `aerofn.dispatch.cron`."""

    fields: str
    either_day: bool
    timezone: str


class Triggers:
    """The triggers in the registry."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> list[ListedTrigger]:
        """Every trigger, by name."""
        return [_listed(row) for row in await self._database.fetch(_Q.all)]

    async def named(self, name: str) -> ListedTrigger:
        """One trigger.

        Raises:
            NotFound: there is none of that name.
        """
        for trigger in await self.all():
            if trigger.name == name:
                return trigger
        raise NotFound(f"there is no trigger {name!r}", hint="aerofn triggers lists them")

    async def some(self, kind: str, after: str, limit: int) -> list[tuple[ListedTrigger, Times | None]]:
        """Up to `limit` triggers of a kind by name, those after `after`; of schedules what times are computed from."""
        listed = []
        for row in await self._database.fetch(_Q.some, kind, after, limit):
            fields = dict(row)
            lists, either_day = fields.pop("fields"), fields.pop("either_day")
            times = None if lists is None else Times(lists, either_day, fields["timezone"])
            listed.append((_listed(fields), times))
        return listed

    async def of_function(self, function: str, limit: int) -> list[ListedTrigger]:
        """Up to `limit` triggers that start a function, by name."""
        return [_listed(row) for row in await self._database.fetch(_Q.of_function, function, limit)]

    async def times(self, name: str) -> Times | None:
        """What a schedule's times are computed from; None for other triggers."""
        row = await self._database.fetchrow(_Q.times, name)
        return None if row is None else Times(*row)

    async def create(self, options: ScheduleOptions | WebhookOptions) -> str:
        """Make a schedule or a webhook; answers its name.

        Raises:
            InvalidRequest, NotFound, Conflict: what cannot be right; no such function; the name is taken.
        """
        arguments = list(msgspec.structs.astuple(options))
        if isinstance(options, ScheduleOptions):
            payload = bytes(options.payload)
            arguments[5] = None if payload == b"null" else payload.decode()
            return str(await self._database.call(_Q.create_schedule, *arguments))
        return str(await self._database.call(_Q.create_webhook, *arguments))

    async def set_enabled(self, name: str, enabled: bool) -> None:
        """Enable or disable a trigger.

        Raises:
            NotFound, NotAllowed: there is none; another owns its table.
        """
        await self._database.call(_Q.enable if enabled else _Q.disable, name)

    async def drop(self, name: str) -> None:
        """Remove a trigger; events it has made still run.

        Raises:
            NotFound: there is none.
        """
        await self._database.call(_Q.drop, name)


def _listed(row: Any) -> ListedTrigger:
    fields = dict(row)
    if fields["payload"] is not None:
        fields["payload"] = msgspec.Raw(fields["payload"].encode())
    return ListedTrigger(**fields)
