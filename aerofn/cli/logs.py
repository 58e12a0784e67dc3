"""`aerofn logs`: what functions logged and how they ended, and what comes while one looks on."""

import asyncio
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from rich.text import Text

from aerofn import sql
from aerofn.cli.output import BAD, QUIET, WAITING, cell, console, print_json
from aerofn.cli.tokens import seconds
from aerofn.cli.where import Http, Row, Where, path
from aerofn.errors import AeroFnError, SettingsError

_Q = sql.queries("records")
_PAGE = 1000
_EVERY_S = 1.0
_LONGEST_PAUSE_S = 10.0
# Nodes write their records in batches and by their own clocks: later ones may have earlier times.
_BEHIND = timedelta(seconds=5)
_LONG_AGO = datetime.min.replace(tzinfo=UTC)
_LEVELS = {"error": BAD, "warn": WAITING, "debug": QUIET}


class Wanted(NamedTuple):
    """Which records: of a function, with an outcome."""

    function: str | None
    status: str | None


async def show(
    where: Where, wanted: Wanted, *, since: str | None, limit: int, follow: bool, as_json: bool
) -> None:
    """Print the last records, the newest at the end, and go on with those that come if asked to.

    Raises:
        SettingsError: `since` is no time.
        AeroFnError: they cannot be read. While following, what passes by itself is waited for.
    """
    begin = None if since is None else time_of(since)
    shown = (await _some(where, wanted, begin, limit, oldest=False))[::-1]
    _print(shown, as_json=as_json)
    if follow:
        # Of those that were cut off at the limit none comes again.
        first = shown[0]["timestamp"] if len(shown) == limit else begin or _LONG_AGO
        await _follow(where, wanted, shown, first, as_json=as_json)
    elif not shown:
        console(stderr=True).print("no such invocations", style=QUIET)


async def _follow(
    where: Where, wanted: Wanted, shown: Sequence[Row], first: datetime, *, as_json: bool
) -> None:
    last = shown[-1]["timestamp"] if shown else max(first, datetime.now(UTC))
    seen = {row["id"]: row["timestamp"] for row in shown}
    pause, since = _EVERY_S, last - _BEHIND
    while True:
        await asyncio.sleep(pause)
        try:
            rows = await _some(where, wanted, since, _PAGE, oldest=True)
        except AeroFnError as error:
            if not error.retryable:
                raise
            if pause == _EVERY_S:
                console(stderr=True).print(f"{error.message}; trying again", style=WAITING)
            pause = min(pause * 2, _LONGEST_PAUSE_S)
            continue
        _print([row for row in rows if row["id"] not in seen and row["timestamp"] >= first], as_json=as_json)
        last = max([last, *(row["timestamp"] for row in rows)])
        more = len(rows) == _PAGE and rows[-1]["timestamp"] > since
        since = rows[-1]["timestamp"] if more else last - _BEHIND
        pause = 0.0 if more else _EVERY_S
        seen |= {row["id"]: row["timestamp"] for row in rows}
        seen = {record: at for record, at in seen.items() if at >= last - _BEHIND}


async def _some(
    where: Where, wanted: Wanted, since: datetime | None, limit: int, *, oldest: bool
) -> list[Row]:
    query = {
        **wanted._asdict(),
        "since": since and int(since.timestamp() * 1000),
        "order": "oldest" if oldest else "newest",
        "limit": limit,
    }
    http = Http("GET", path("invocations"), query)
    if oldest:
        return await where.rows(http, _Q.oldest, *wanted, since, limit)
    return await where.rows(http, _Q.newest, *wanted, since, None, None, True, limit)


def time_of(text: str) -> datetime:
    """`10m` ago, or an ISO 8601 time, in the machine's zone if it names none.

    Raises:
        SettingsError: it is neither.
    """
    try:
        return datetime.fromisoformat(text).astimezone()
    except ValueError:
        pass
    try:
        return datetime.now(UTC) - timedelta(seconds=seconds(text))
    except SettingsError:
        raise SettingsError(
            f"{text!r} is no time", hint="write it like 90s, 15m, 1h, 30d, or 2026-01-31T12:00"
        ) from None


def _print(rows: Sequence[Row], *, as_json: bool) -> None:
    out = console()
    for row in rows:
        if as_json:
            print_json(row, indent=-1)
            continue
        out.print(_headline(row), soft_wrap=True)
        for line in row["logs"]:
            out.print(_line(line), soft_wrap=True)
        if row["error"]:
            said = row["error"].get("stack") or row["reason"] or ""
            out.print(Text(f"  {said.strip()}".replace("\n", "\n  "), BAD), soft_wrap=True)
    sys.stdout.flush()


def _headline(row: Row) -> Text:
    at = row["timestamp"].astimezone().strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    event = f" event {row['event_id']}" if row["event_id"] else ""
    again = f" attempt {row['attempt']}" if row["attempt"] > 1 else ""
    trace = f"  trace {row['trace_id']}" if row["trace_id"] else ""
    return Text.assemble(
        (at, QUIET), f" {row['function']} ", (f"v{row['version']} {row['trigger']}{event}{again} ", QUIET),
        cell(row["status"]), f" {row['duration_ms']:.1f} ms", (trace, QUIET),
    )  # fmt: skip


def _line(line: dict[str, Any]) -> Text:
    message = str(line["message"]).replace("\n", "\n  ")
    return Text.assemble((f"  {line['level']:5} ", _LEVELS.get(line["level"], QUIET)), message)
