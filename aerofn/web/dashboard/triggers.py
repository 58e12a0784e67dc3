"""The page of triggers: schedules with their next times, webhooks, row triggers."""

from datetime import UTC, datetime
from typing import Any, NamedTuple

from starlette.requests import Request

from aerofn.db.triggers import ListedTrigger, Times
from aerofn.dispatch.cron import cron
from aerofn.errors import AeroFnError
from aerofn.web.dashboard.desk import PAGE, Desk
from aerofn.web.dashboard.forms import field
from aerofn.web.dashboard.session import PATH
from aerofn.web.dashboard.site import Form, View, Went

_TICKS = 3


class Row(NamedTuple):
    """A trigger, and when it starts its function next, if it is a schedule."""

    trigger: ListedTrigger
    ticks: list[datetime]


class TriggerPages:
    """What starts functions."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def list(self, request: Request) -> View:
        """Triggers by kind, a page of each."""
        return View("triggers.html", {
            "schedules": await self._section(request, "schedule"),
            "webhooks": await self._section(request, "webhook"),
            "rows": await self._section(request, "row"),
        })  # fmt: skip

    async def pause(self, _: Request, form: Form) -> Went:
        """Let a trigger start nothing for now.

        Raises:
            NotFound, NotAllowed: there is none; its table is another's.
        """
        return await self._set_enabled(form, False)

    async def resume(self, _: Request, form: Form) -> Went:
        """Let it start its function again; raises as `pause` does."""
        return await self._set_enabled(form, True)

    async def _set_enabled(self, form: Form, enabled: bool) -> Went:
        await self._desk.triggers.set_enabled(field(form, "trigger"), enabled)
        return Went(f"{PATH}/triggers", "resumed" if enabled else "paused")

    async def _section(self, request: Request, kind: str) -> dict[str, Any]:
        after = request.query_params.get(kind, "").replace("\0", "")
        found = await self._desk.glances.at(
            ("triggers", kind, after), lambda: self._desk.triggers.some(kind, after, PAGE + 1)
        )
        now = datetime.now(UTC)
        return {
            "kind": kind,
            "after": after,
            "rows": [Row(one, _ticks(one, times, now)) for one, times in found[:PAGE]],
            "more": found[PAGE - 1][0].name if len(found) > PAGE else None,
        }


def _ticks(trigger: ListedTrigger, times: Times | None, now: datetime) -> list[datetime]:
    if times is None or not trigger.enabled or trigger.error is not None:
        return []
    try:
        return cron(*times).upcoming(now, _TICKS)
    except AeroFnError:
        return []  # the schedule's own error says why, once a node has seen it
