"""One case for each promise of the Python SDK; see test_python.py."""

import asyncio
import datetime
import logging
import random
import sys
import time
import uuid
from decimal import Decimal

import iso8601
from helpers import GREETING, fail

from aerofn import HttpError, PgError, db, env, http, log

TOP = (random.random(), time.time())
table = {"made": "at the top level"}


def echo(case, event):
    return case


def types(case, event):
    return {key: type(value).__name__ for key, value in case.items()}


def query(case, event):
    result = db.query(case["sql"], case["params"])
    [first] = result[:1] or [None]
    return {"rows": result.rows, "row_count": result.row_count, "first": first, "length": len(result)}


def parameters(case, event):
    day = datetime.date(2026, 2, 3)
    moment = datetime.datetime(2026, 2, 3, 4, 5, 6, tzinfo=datetime.UTC)
    db.query(
        "select 1",
        [
            day, moment, b"\x00\xff", 2**70, None, float("nan"), float("-inf"), 1.5, Decimal("1.10"), "é",
            {"at": day, "price": Decimal("0.10")}, [1, None], (True,), uuid.UUID(int=1),
        ],
    )  # fmt: skip


def query_error(case, event):
    try:
        db.query("insert")
    except PgError as error:
        return {**vars(error), "text": str(error)}


def bad_parameters(case, event):
    db.query("select $1", "x")


def half_characters(case, event):
    log.info("\ud800")
    db.query("select '\ud800'", ["\ud800"])
    return "\ud800"


def logs(case, event):
    print("printed", 1)
    print("no end", end="")
    log.debug("a %s", "b")
    log.warning("careful")
    logging.getLogger("library").error("from a library")
    print("to stderr", file=sys.stderr)
    try:
        fail(0)
    except ZeroDivisionError:
        log.exception("it failed")


def logs_nonsense(case, event):
    log.info("%d of %d", 1)
    return "went on"


class Unreadable(Exception):
    def __str__(self):
        raise ValueError("no text")


def raises_unreadable(case, event):
    raise Unreadable


async def raises_group(case, event):
    async with asyncio.TaskGroup() as group:
        group.create_task(failing())


async def failing():
    fail(0)


def environment(case, event):
    return [env["KEY"], env.get("MISSING"), env.get("MISSING", "else"), "KEY" in env, "MISSING" in env]


def requests(case, event):
    got = http.get("https://a.example/", headers={"X-A": "1"})
    posted = http.post("https://a.example/", {"price": Decimal("1.10")})
    http.put("https://a.example/", "text")
    http.request("PATCH", "https://a.example/", b"\xff", timeout=1.5)
    return [got.status, got.ok, got.headers["x-b"], got.json(), posted.text, len(posted.content)]


def later(case, event):
    return http.after_commit("post", "https://a.example/", {"a": 1})


def refused(case, event):
    try:
        http.get("https://refused.example/")
    except HttpError as error:
        return [error.code, str(error)]


def fresh(case, event):
    table["calls"] = table.get("calls", 0) + 1
    return [table["calls"], random.random(), str(uuid.uuid4()), time.time(), TOP, table["made"]]


def helped(case, event):
    return [GREETING, iso8601.parse_date("2026-02-03T04:05:06Z").year]


def raises(case, event):
    return fail(0)


def chained(case, event):
    try:
        fail(0)
    except ZeroDivisionError as error:
        failure = LookupError("no such thing")
        failure.retry = False
        raise failure from error


def exits(case, event):
    sys.exit(3)


def odd_result(case, event):
    return object()


def ring(case, event):
    ring = {"price": Decimal("1")}
    ring["ring"] = ring
    return ring


def results(case, event):
    return {
        "price": Decimal("1.10"), "big": 2**70, "nan": float("nan"), 7: [Decimal("1E+2")], "none": None,
        "day": datetime.date(2026, 2, 3), "bytes": b"\x01\xab", "set": {1}, "yes": True,
    }  # fmt: skip


def event(case, event):
    return [event.trigger, event.caller.role, event.table, event["payload"] == case, event.attempt]


def together(case, event):
    async def double(number):
        await asyncio.sleep(0.005 * number)
        return number * 2

    async def both():
        rows = await db.query("select 1")
        time.sleep(0.001)
        return [*await asyncio.gather(double(2), double(1)), len(rows)]

    return both()


def stuck(case, event):
    async def forever():
        await asyncio.get_running_loop().create_future()

    return forever()


async def handler(case, event):
    result = globals()[case["case"]](case, event)
    return await result if asyncio.iscoroutine(result) else result
