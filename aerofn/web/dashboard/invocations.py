"""The pages of invocations: the newest ones, live, and one whole."""

import re
from collections.abc import Iterator
from datetime import datetime

import msgspec
from starlette.requests import Request

from aerofn.db.records import Wanted
from aerofn.errors import NotFound
from aerofn.model import LogLine, Status
from aerofn.web.dashboard.desk import PAGE, Desk
from aerofn.web.dashboard.site import View
from aerofn.web.operation import FUNCTION_NAME

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NAME = re.compile(FUNCTION_NAME)
_LONGEST_LOG = 512 * 1024


class InvocationPages:
    """What ran."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def list(self, request: Request) -> View:
        """The newest invocations, of a function or of all, all or only failures."""
        function = request.query_params.get("function", "").strip()
        failed = request.query_params.get("show") == "failed"
        place = request.query_params.get("before", "")
        known = function if _NAME.fullmatch(function) else None
        rows = [] if function and known is None else await self._desk.glances.at(
            ("invocations", known, failed, place),
            lambda: self._desk.invocations.newest(
                Wanted(known, Status.FAILED if failed else None), PAGE + 1, after=_place(place)
            ),
        )  # fmt: skip
        last = rows[PAGE - 1] if len(rows) > PAGE else None
        return View("invocations.html", {
            "invocations": rows[:PAGE],
            "function": function,
            "failed": failed,
            "before": place,
            "more": last and f"{last.timestamp.isoformat()}_{last.id}",
        })  # fmt: skip

    async def show(self, request: Request) -> View:
        """One invocation, and the other attempts at its event.

        Raises:
            NotFound: there is none.
        """
        wanted = request.path_params["id"]
        if not _UUID.fullmatch(wanted):
            raise NotFound(f"there is no invocation {wanted!r}", hint="an invocation's id is a UUID")
        found = await self._desk.invocations.one(wanted)
        attempts = (
            [] if found.event_id is None else await self._desk.invocations.of_event(found.event_id, PAGE)
        )
        logs = msgspec.json.decode(found.logs, type=list[LogLine])
        lines = list(_first(logs))
        return View("invocation.html", {
            "one": found,
            "error": None if found.error is None else msgspec.json.decode(found.error),
            "attempts": attempts,
            "lines": lines,
            "left_out": len(logs) - len(lines),
        })  # fmt: skip


def _first(lines: list[LogLine]) -> Iterator[LogLine]:
    """The first lines of a log, as many as a page bears."""
    left = _LONGEST_LOG
    for line in lines:
        left -= len(line.message)
        if left < 0:
            return
        yield line


def _place(text: str) -> tuple[datetime, str] | None:
    """The end of the page before; whatever is none begins at the beginning."""
    at, _, last = text.partition("_")
    try:
        parsed = datetime.fromisoformat(at)
    except ValueError:
        return None
    return (parsed, last) if parsed.tzinfo is not None and _UUID.fullmatch(last) else None
