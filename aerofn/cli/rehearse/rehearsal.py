"""A run of a version with a past event, in a transaction that is rolled back; and what it did there."""

import difflib
from typing import Any

import msgspec

from aerofn import project, sql
from aerofn.cli.rehearse.compare import Ran
from aerofn.db.pool import Connection
from aerofn.errors import NotFound
from aerofn.model import Caller
from aerofn.settings import function_environment
from aerofn.testing.workbench import Function, Trial, Workbench

_Q = sql.queries("rehearse")


class Asked(msgspec.Struct, frozen=True):
    """A past event, and whom it acted as."""

    event: dict[str, Any]
    caller: Caller


class Candidate(msgspec.Struct, frozen=True):
    """A version that is ready to be rehearsed, with what it is granted of this shell's environment."""

    number: int
    function: Function
    env: dict[str, str]
    run_as: str | None


async def candidate(db: Connection, bench: Workbench, function: str, number: int | None) -> Candidate:
    """Version `number` of a function, or its active one.

    Raises:
        NotFound: there is no such function or version, or none is active.
    """
    row = await db.fetchrow(_Q.version, function, number)
    if row is None:
        raise await _missing(db, function, number)
    declared = project.Function(source="", timeout_ms=row["timeout_ms"], memory_mb=row["memory_mb"])
    given = function_environment()
    return Candidate(
        row["number"],
        await bench.compiled(function, declared, row["wasm"]),
        {key: given[key] for key in row["env"] if key in given},
        row["run_as"],
    )


async def _missing(db: Connection, function: str, number: int | None) -> NotFound:
    names = [row["name"] for row in await db.fetch(sql.queries("functions").names)]
    if function in names:
        which = "active version" if number is None else f"version {number}"
        hint = f"these are there: aerofn functions versions {function}"
        return NotFound(f"function {function!r} has no {which}", hint=hint)
    near = difflib.get_close_matches(function, names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else "aerofn functions lists them"
    return NotFound(f"there is no function {function!r}", hint=hint)


async def asked(db: Connection, function: str, most: int) -> list[Asked]:
    """The last events of a function that were kept, oldest first.

    Raises:
        NotFound: none was kept.
    """
    rows = await db.fetch(_Q.asked, function, most)
    if not rows:
        raise NotFound(
            f"no events of function {function!r} were kept",
            hint="keep those to come: SELECT aerofn.keep_done_events(interval '7 days')",
        )
    return [Asked(row["event"], Caller(row["role"], row["claims"] or {})) for row in reversed(rows)]


async def rehearse(bench: Workbench, what: Candidate, asked: Asked) -> Ran:
    """Run it, look at what it did, and undo it. Outgoing HTTP is refused."""
    caller = asked.caller if what.run_as is None else Caller(what.run_as, asked.caller.claims)
    async with bench.trial(isolation="repeatable_read") as trial:
        [began] = await trial.rows(_Q.began)
        result = await trial.run(what.function, asked.event, caller=caller, env=what.env, fetches={})
        did: dict[str, Any] = {"outcome": str(result.outcome)}
        if result.run.output is not None:
            did |= {"value": result.value, "tables": await _tables(trial, int(began["xid"]))}
        else:
            did["error"] = result.error.message if result.error else ""
        did["fetches"] = [f"{fetch['method']} {fetch['url']}" for fetch in result.fetches]
    return Ran(did=did, duration_ms=result.duration_ms, memory_mb=result.memory_mb)


async def _tables(trial: Trial, began: int) -> dict[str, Any]:
    """What was written, by table: how many rows were inserted, updated, deleted, and what they are now."""
    tables = {}
    for counted in await trial.rows(_Q.touched):
        schema, name = counted.pop("schema"), counted.pop("name")
        written = await trial.rows(_Q.written.format(schema=schema, name=name, xid=began))
        tables[f"{schema}.{name}"] = counted | {"rows": [one["row"] for one in written]}
    return tables
