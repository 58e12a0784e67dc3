"""The database's side of `aerofn apply`: what is there, and making it as declared."""

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from aerofn import sql
from aerofn.cli.apply.plan import FUNCTION, Change, Present, Step, Thing
from aerofn.db.pool import Connection
from aerofn.project import Function, Project, RowTrigger, Trigger, Webhook

_Q = sql.queries("apply")
# The kinds of triggers, by their tables in the file.
KINDS = {"row_triggers": "row trigger", "schedules": "schedule", "webhooks": "webhook"}
_PRESENT = {
    FUNCTION: _Q.functions,
    "row trigger": _Q.row_triggers,
    "schedule": _Q.schedules,
    "webhook": _Q.webhooks,
}
_CREATE = {
    "row trigger": _Q.create_row_trigger,
    "schedule": _Q.create_schedule,
    "webhook": _Q.create_webhook,
}


async def present(db: Connection) -> dict[Thing, Present]:
    """All functions and triggers, with their options."""
    return {
        Thing(kind, row["name"]): Present(row["options"], row["by"])
        for kind, query in _PRESENT.items()
        for row in await db.fetch(query)
    }


async def declared(
    db: Connection, project: Project, components: Mapping[str, bytes], anon_role: str
) -> dict[Thing, dict[str, Any]]:
    """The project's options, as `present` gives them: tables with their schema, defaults filled in."""
    things: dict[Thing, dict[str, Any]] = {}
    for name, function in project.functions.items():
        options = _plain(function)
        del options["source"]
        digest = hashlib.sha256(components[name]).hexdigest()
        things[Thing(FUNCTION, name)] = {"component": digest, "version": "newest", **options}
    for table, name, trigger in project.triggers:
        options = _plain(trigger) | {"run_as": trigger.run_as or anon_role}
        if isinstance(trigger, RowTrigger):
            options["table"] = await db.fetchval(_Q.table_name, trigger.table)
            options["events"] = sorted(event.upper() for event in trigger.events)
        elif isinstance(trigger, Webhook):
            options["header"] = trigger.header and trigger.header.lower()
            options["encoding"] = trigger.encoding or ("hex" if trigger.scheme == "hmac" else None)
        things[Thing(KINDS[table], name)] = options
    return things


async def lock(db: Connection) -> None:
    """Let nobody else apply until this transaction ends."""
    await db.execute(_Q.lock)


async def carry_out(
    db: Connection, steps: list[Step], options: dict[Thing, dict[str, Any]], components: Mapping[str, bytes]
) -> dict[str, int]:
    """Do the steps, within the caller's transaction; answers the numbers of new versions by function.

    Raises:
        asyncpg.PostgresError: a step was refused.
    """
    made = {}
    for step in steps:
        if step.change in (Change.KEEP, Change.STRAY):
            continue
        if step.kind != FUNCTION:
            await _reattach(db, step, options.get(step.thing))
        elif step.change is Change.DROP:
            await db.execute(_Q.drop_function, step.name)
        else:
            made[step.name] = await _register(db, step.name, components[step.name], options[step.thing])
    return made


def _plain(entry: Function | Trigger) -> dict[str, Any]:
    """As JSON has it, which is how PostgreSQL tells its side."""
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(entry))
    return plain


async def _register(db: Connection, name: str, component: bytes, options: dict[str, Any]) -> int:
    number: int = await db.fetchval(_Q.register, name, component, msgspec.json.encode(options).decode())
    await db.execute(_Q.activate, name, number)
    return number


async def _reattach(db: Connection, step: Step, options: dict[str, Any] | None) -> None:
    if step.change is not Change.CREATE:
        await db.execute(_Q.drop_trigger, step.name)
    if options is None:
        return
    await db.execute(_CREATE[step.kind], step.name, msgspec.json.encode(options).decode())
    if not options["enabled"]:
        await db.execute(_Q.disable_trigger, step.name)
