"""`aerofn apply`, from the file to the end: build, compare, show, ask, carry out, wait until all is compiled."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec

from aerofn import project
from aerofn.cli import deploying
from aerofn.cli.apply import database, show
from aerofn.cli.apply.components import components
from aerofn.cli.apply.plan import Change, Step, Thing, differs, plan
from aerofn.cli.asking import sure
from aerofn.cli.connection import connected
from aerofn.cli.output import FAILED, OK, console, print_json
from aerofn.db.pool import Connection
from aerofn.errors import Conflict
from aerofn.project import Project
from aerofn.settings import from_env


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What the user asked for. `wait`: seconds for compiling; `yes`: drop without asking."""

    where: Path
    database_url: str | None
    prune: bool
    dry_run: bool
    yes: bool
    wait: float
    as_json: bool


def run(wish: Wish) -> int:
    """Apply; the exit code. With `dry_run` 1 says that the database is not as declared.

    Raises:
        AeroFnError: what does not build, was refused, or changed while the user was asked; nothing was done.
    """
    declared = project.read(wish.where)
    with console(stderr=True).status("building") as status:
        built = components(declared, status.update)
    return asyncio.run(_apply(wish, declared, built))


async def _apply(wish: Wish, declared: Project, built: dict[str, bytes]) -> int:
    anon_role = from_env(database_url=wish.database_url).anon_role
    async with connected(wish.database_url) as db:
        options = await database.declared(db, declared, built, anon_role)
        steps = await _plan(db, options, wish)
        if wish.dry_run:
            _tell(wish, steps, {})
            return FAILED if differs(steps) else OK
        if not wish.as_json:
            show.plan(steps)
        _ask(wish, steps)
        async with db.transaction():
            await database.lock(db)
            if await _plan(db, options, wish) != steps:
                raise Conflict(
                    "the database was changed meanwhile", hint="look at the new plan: aerofn apply"
                )
            made = await database.carry_out(db, steps, options, built)
        for name, number in made.items():
            await deploying.compiled(db, name, number, wish.wait)
        _tell(wish, steps, made)
    return OK


async def _plan(db: Connection, options: dict[Thing, dict[str, Any]], wish: Wish) -> list[Step]:
    return plan(options, await database.present(db), prune=wish.prune)


def _ask(wish: Wish, steps: list[Step]) -> None:
    drops = sum(step.change is Change.DROP for step in steps)
    if drops and not wish.yes:
        sure(f"Drop {drops} that {project.FILE} does not declare?")


def _tell(wish: Wish, steps: list[Step], made: dict[str, int]) -> None:
    if wish.as_json:
        print_json({"steps": steps, "versions": made})
    elif wish.dry_run:
        show.plan(steps)
    else:
        show.done(steps, made)
