"""What happens at every save: the schema, what has to be built, and the database made as declared."""

import asyncio
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

from aerofn import project
from aerofn.cli import deploying
from aerofn.cli.apply import database
from aerofn.cli.apply.components import components
from aerofn.cli.apply.plan import plan
from aerofn.cli.connection import connected
from aerofn.cli.dev import migrations
from aerofn.cli.dev.screen import Screen
from aerofn.errors import AeroFnError
from aerofn.project import Project

_COMPILE_S = 60.0


class Target(msgspec.Struct, frozen=True):
    """The database that is brought up to date. `prune`: it is this project's own, so what is not declared goes."""

    url: str
    anon_role: str
    prune: bool


class Loop:
    """Brings the target up to date; what does not work is shown, and the next save tries again."""

    def __init__(self, folder: Path, target: Target, screen: Screen) -> None:
        self._folder = folder
        self._target = target
        self._screen = screen
        self._kept: dict[str, bytes] = {}

    async def update(self, changed: Iterable[Path] = ()) -> None:
        """Do what `changed` files make necessary; at first, everything."""
        began = time.perf_counter()
        try:
            declared = project.read(self._folder)
            self._forget(declared, changed)
            self._kept = await asyncio.to_thread(components, declared, self._screen.doing, kept=self._kept)
            await self._apply(declared, began)
        except AeroFnError as error:
            self._screen.wrong(error)

    def _forget(self, declared: Project, changed: Iterable[Path]) -> None:
        """Keep only components that no changed file can be part of."""
        sources = {(declared.folder / f.source).resolve(): name for name, f in declared.functions.items()}
        for file in changed:
            if file.resolve() in sources:
                self._kept.pop(sources[file.resolve()], None)
            elif file.suffix not in (".sql", ".toml", ".md"):
                self._kept.clear()  # a module or a package that any of them may import

    async def _apply(self, declared: Project, began: float) -> None:
        async with connected(self._target.url) as db:
            self._screen.migrated(await migrations.apply(db, declared.folder))
            options = await database.declared(db, declared, self._kept, self._target.anon_role)
            async with db.transaction():
                await database.lock(db)
                steps = plan(options, await database.present(db), prune=self._target.prune)
                versions = await database.carry_out(db, steps, options, self._kept)
            for name, number in versions.items():
                await deploying.compiled(db, name, number, _COMPILE_S)
        self._screen.applied(steps, versions, time.perf_counter() - began)
