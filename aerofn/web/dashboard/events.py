"""The pages of events: those that wait, those that were given up, and one with all its attempts."""

from datetime import datetime
from typing import Any

import msgspec
from starlette.requests import Request

from aerofn.errors import NotFound
from aerofn.web.dashboard import words
from aerofn.web.dashboard.desk import PAGE, Desk
from aerofn.web.dashboard.forms import field
from aerofn.web.dashboard.session import PATH
from aerofn.web.dashboard.site import Form, View, Went

_LAST = (1 << 63) - 1
_HOME = PATH + "/events"


class AttemptError(msgspec.Struct, frozen=True):
    """Why an attempt failed."""

    attempt: int
    at: datetime
    code: str
    message: str
    name: str | None = None
    detail: Any = None
    hint: Any = None
    stack: str | None = None


class EventPages:
    """Events, and what is to become of them."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def list(self, request: Request) -> View:
        """Events that wait or run, or with `state=dead` those given up, of a trigger or of all."""
        dead = request.query_params.get("state") == "dead"
        trigger = request.query_params.get("trigger", "").replace("\0", "") if dead else ""
        before = _number(request.query_params.get("before", "")) or _LAST
        events, glance = self._desk.events, self._desk.glances.at
        rows = await glance(
            ("events", dead, trigger, before),
            lambda: (
                events.dead(trigger or None, before, PAGE + 1) if dead else events.waiting(before, PAGE + 1)
            ),
        )
        groups = await glance("dead by trigger", lambda: events.dead_by_trigger(PAGE)) if dead else []
        return View("events.html", {
            "events": rows[:PAGE],
            "dead": dead,
            "trigger": trigger,
            "groups": [one for one in groups if not trigger or one.trigger == trigger],
            "first": before == _LAST,
            "more": rows[PAGE - 1].id if len(rows) > PAGE else None,
        })  # fmt: skip

    async def show(self, request: Request) -> View:
        """One event, and the invocations it had; of one that is done only these.

        Raises:
            NotFound: there is none, and there is no record of one.
        """
        event = _event(request)
        attempts = await self._desk.invocations.of_event(event, PAGE)
        try:
            found = await self._desk.events.one(event, words.LONGEST + 1)
        except NotFound:
            # Just replayed, it may have run already, and its record is being written.
            if not attempts and request.query_params.get("notice") != "replayed":
                raise
            return View("done.html", {"event": event, "attempts": attempts})
        return View("event.html", {"one": found, "attempts": attempts, "errors": _errors(found.errors)})

    async def replay(self, request: Request, form: Form) -> Went:
        """Give an event its attempts back.

        Raises:
            NotFound: it is not dead or cancelled.
        """
        event = _event(request)
        await self._desk.events.replay(event)
        return Went(_next(form, event), "replayed")

    async def discard(self, request: Request, form: Form) -> Went:
        """Give an event up.

        Raises:
            NotFound: it is not pending or dead.
        """
        event = _event(request)
        await self._desk.events.discard(event)
        return Went(_next(form, event), "discarded")

    async def replay_all(self, _: Request, form: Form) -> Went:
        """Give all dead events of a trigger their attempts back.

        Raises:
            NotFound: there is no such trigger.
        """
        return Went(
            f"{_HOME}?state=dead", "replayed_all", await self._desk.events.replay_all(field(form, "trigger"))
        )

    async def discard_all(self, _: Request, form: Form) -> Went:
        """Give all dead events of a trigger up.

        Raises:
            NotFound: there is no such trigger.
        """
        count = await self._desk.events.discard_all(field(form, "trigger"))
        return Went(f"{_HOME}?state=dead", "discarded_all", count)


def _errors(kept: Any) -> list[AttemptError]:
    """The errors that are kept with an event, the last attempt's first."""
    try:
        return msgspec.json.decode(kept or b"[]", type=list[AttemptError], strict=False)[::-1]
    except msgspec.MsgspecError:
        return []  # too long, or of an older version: shown as it is


def _next(form: Form, event: int) -> str:
    """Back to the list a button was in, or to the event's own page."""
    lists = {"dead": f"{_HOME}?state=dead", "waiting": _HOME}
    return lists.get(form.get("from", ""), f"{_HOME}/{event}")


def _event(request: Request) -> int:
    text = request.path_params["event"]
    event = _number(text)
    if event is None:
        raise NotFound(f"there is no event {text!r}", hint="an event's id is a number")
    return event


def _number(text: str) -> int | None:
    """An event's id; anything else is none."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else None
