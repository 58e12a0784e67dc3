"""The lists: functions, triggers, events and invocations, for people or as JSON."""

from typing import Any

from aerofn import sql
from aerofn.cli.connection import connected
from aerofn.cli.output import print_rows

_FUNCTIONS = {
    "name": "function", "status": "newest is", "active_version": "runs", "newest_version": "newest",
    "roles": "callers", "run_as": "run as", "updated_at": "updated", "error": "error",
}  # fmt: skip
_TRIGGERS = {
    "name": "trigger", "function": "function", "on": "on", "events": "events", "when": "when",
    "run_as": "run as", "enabled": "enabled",
}  # fmt: skip
_EVENTS = {
    "id": "event", "function": "function", "by": "by", "state": "state", "tried": "attempts",
    "run_at": "due", "role": "role", "reason": "last error",
}  # fmt: skip
_INVOCATIONS = {
    "timestamp": "ended", "function": "function", "version": "version", "trigger": "by", "status": "status",
    "duration_ms": "ms", "memory_peak_mb": "MB", "queries": "queries", "role": "role", "reason": "error",
}  # fmt: skip


async def functions(database_url: str | None, *, as_json: bool) -> None:
    """Every function, with the state of its newest version."""
    rows = await _fetch(database_url, sql.queries("functions").all)
    print_rows(rows, _FUNCTIONS, as_json=as_json, nothing="there are no functions yet")


async def triggers(database_url: str | None, *, as_json: bool) -> None:
    """Every trigger."""
    rows = await _fetch(database_url, sql.queries("cli").triggers)
    shown = rows if as_json else [row | {"on": f"{row['schema']}.{row['table']}"} for row in rows]
    print_rows(shown, _TRIGGERS, as_json=as_json, nothing="there are no triggers yet")


async def events(
    database_url: str | None,
    *,
    state: str | None,
    function: str | None,
    trigger: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """The newest events."""
    rows = await _fetch(database_url, sql.queries("event_list").some, state, function, trigger, None, limit)
    shown = rows if as_json else [row | _event(row) for row in rows]
    print_rows(shown, _EVENTS, as_json=as_json, nothing="no such events; those that are done are removed")


async def invocations(
    database_url: str | None, *, function: str | None, status: str | None, limit: int, as_json: bool
) -> None:
    """The newest invocation records."""
    rows = await _fetch(database_url, sql.queries("cli").invocations, function, status, limit)
    print_rows(rows, _INVOCATIONS, as_json=as_json, nothing="no such invocations")


def _event(row: dict[str, Any]) -> dict[str, Any]:
    return {"by": row["trigger"] or row["source"], "tried": f"{row['attempt']} of {row['max_attempts']}"}


async def _fetch(database_url: str | None, statement: str, *arguments: Any) -> list[dict[str, Any]]:
    async with connected(database_url) as db:
        return [dict(row) for row in await db.fetch(statement, *arguments)]
