"""The lists: functions, versions, triggers, events and invocations, for people or as JSON."""

from typing import Any

from aerofn import sql
from aerofn.cli.output import print_rows
from aerofn.cli.where import Http, Where, path
from aerofn.errors import NotFound

_FUNCTIONS = {
    "name": "function", "status": "newest is", "active_version": "runs", "newest_version": "newest",
    "roles": "callers", "run_as": "run as", "updated_at": "updated", "error": "error",
}  # fmt: skip
_VERSIONS = {
    "version": "version", "status": "status", "active": "runs", "size": "bytes", "digest": "sha-256",
    "author": "author", "created_at": "made", "error": "error",
}  # fmt: skip
_TRIGGERS = {
    "name": "trigger", "kind": "kind", "function": "function", "on": "on", "next_at": "next", "run_as": "run as",
    "enabled": "enabled", "error": "error",
}  # fmt: skip
_EVENTS = {
    "id": "event", "function": "function", "by": "by", "state": "state", "tried": "attempts",
    "run_at": "due", "role": "role", "reason": "last error",
}  # fmt: skip
_INVOCATIONS = {
    "timestamp": "ended", "function": "function", "version": "version", "trigger": "by", "status": "status",
    "duration_ms": "ms", "memory_peak_mb": "MB", "queries": "queries", "role": "role", "reason": "error",
}  # fmt: skip


async def functions(where: Where, *, as_json: bool) -> None:
    """Every function, with the state of its newest version."""
    rows = await where.rows(Http("GET", path("functions")), sql.queries("functions").all)
    print_rows(
        rows,
        _FUNCTIONS,
        spare=("run_as", "updated_at", "roles", "newest_version"),
        as_json=as_json,
        nothing="there are no functions yet",
    )


async def versions(where: Where, function: str, *, as_json: bool) -> None:
    """A function's versions, newest first.

    Raises:
        NotFound: there is no such function.
    """
    statement = sql.queries("functions").versions
    rows = await where.rows(
        Http("GET", path("functions", function, "versions")), statement, function, None, None
    )
    if not rows:
        raise NotFound(f"there is no function {function!r}", hint="aerofn functions lists them")
    shown = rows if as_json else [row | {"digest": row["digest"][:12]} for row in rows]
    print_rows(shown, _VERSIONS, spare=("digest", "author", "size"), as_json=as_json, nothing="")


async def triggers(where: Where, *, as_json: bool) -> None:
    """Every trigger."""
    rows = await where.rows(Http("GET", path("triggers")), sql.queries("triggers").all)
    shown = rows if as_json else [row | {"on": _source(row)} for row in rows]
    print_rows(
        shown, _TRIGGERS, spare=("run_as", "next_at"), as_json=as_json, nothing="there are no triggers yet"
    )


async def events(
    where: Where,
    *,
    state: str | None,
    function: str | None,
    trigger: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """The newest events."""
    query = {"state": state, "function": function, "trigger": trigger, "limit": limit}
    statement = sql.queries("event_list").some
    rows = await where.rows(
        Http("GET", path("events"), query), statement, state, function, trigger, None, limit
    )
    shown = rows if as_json else [row | _event(row) for row in rows]
    print_rows(
        shown,
        _EVENTS,
        spare=("role", "run_at", "by"),
        as_json=as_json,
        nothing="no such events; those that are done are removed",
    )


async def invocations(
    where: Where, *, function: str | None, status: str | None, limit: int, as_json: bool
) -> None:
    """The newest invocation records."""
    query = {"function": function, "status": status, "limit": limit}
    statement = sql.queries("records").newest
    http = Http("GET", path("invocations"), query)
    rows = await where.rows(http, statement, function, status, None, None, None, as_json, limit)
    print_rows(
        rows,
        _INVOCATIONS,
        spare=("queries", "role", "memory_peak_mb", "trigger", "version"),
        as_json=as_json,
        nothing="no such invocations",
    )


def _source(row: dict[str, Any]) -> str:
    """What a trigger waits for, in a few words."""
    if row["kind"] == "schedule":
        return f"{row['cron']} ({row['timezone']})"
    if row["kind"] == "webhook":
        return f"/hooks/v1/{row['name']} ({row['scheme']})"
    condition = f" when {row['when']}" if row.get("when") else ""
    return f"{'/'.join(row['events'])} of {row['schema']}.{row['table']}{condition}"


def _event(row: dict[str, Any]) -> dict[str, Any]:
    return {"by": row["trigger"] or row["source"], "tried": f"{row['attempt']} of {row['max_attempts']}"}
