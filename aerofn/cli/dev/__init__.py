"""`aerofn dev`: a project's database, functions and triggers, brought up to date at every save."""

import asyncio
import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path

import msgspec
import watchfiles

from aerofn.cli.dev.loop import Loop, Target
from aerofn.cli.dev.screen import Screen
from aerofn.cli.live import live
from aerofn.cli.place import Place
from aerofn.errors import AeroFnError, SettingsError
from aerofn.observe import configure_logging
from aerofn.project import FILE
from aerofn.settings import Settings, from_env

_OWN = ".aerofn"  # the embedded server, below the project's folder


class _Files(watchfiles.DefaultFilter):
    """Not what tools write: packages, caches, and this command's own folder."""

    ignore_dirs = (*watchfiles.DefaultFilter.ignore_dirs, _OWN)


def run(folder: Path, database_url: str | None, port: int | None, *, fresh: bool) -> None:
    """Work until Ctrl-C or SIGTERM; nothing is left running.

    Args:
        database_url: yours; without it there is a PostgreSQL below `.aerofn/` of the project.
        fresh: begin with an empty database, the embedded one only.

    Raises:
        AeroFnError: it could not start, or the node cannot go on.
    """
    if not (folder / FILE).is_file():
        raise SettingsError(f"there is no {FILE} in {folder.resolve()}", hint="aerofn init makes a project")
    configure_logging("warning")
    with (
        _where(folder, database_url, port, fresh) as (settings, place),
        contextlib.suppress(KeyboardInterrupt, asyncio.CancelledError),
    ):
        asyncio.run(_develop(folder, settings, place))
    if place is not None:
        Screen().end(place.directory)


@contextlib.contextmanager
def _where(
    folder: Path, database_url: str | None, port: int | None, fresh: bool
) -> Iterator[tuple[Settings, Place | None]]:
    if database_url is not None:
        if fresh:
            raise SettingsError("--fresh would empty a database of yours", hint="leave out --database-url")
        settings = from_env(database_url=database_url, port=port)
        yield msgspec.structs.replace(settings, records_to_stdout=False, log_level="warning"), None
        return
    place = Place(folder / _OWN, "dev", port)
    if fresh:
        place.postgres.erase()
    with place:
        yield place.settings(), place


async def _develop(folder: Path, settings: Settings, place: Place | None) -> None:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    if place is not None:
        await place.make_database()
    screen, broken = Screen(), asyncio.Event()
    async with live(settings, env=None, on_record=screen.invoked, on_failure=broken.set) as node:
        if place is not None:
            place.write_environment(settings, node.url)
        screen.begin(node.url, None if place is None else str(place.environment))
        target = Target(settings.database_url, settings.anon_role, prune=place is not None)
        loop = Loop(folder, target, screen)
        await loop.update()
        async for changes in watchfiles.awatch(
            folder, watch_filter=_Files(), stop_event=broken, debounce=100
        ):
            files = sorted({Path(path) for _, path in changes})
            screen.changed(files)
            await loop.update(files)
    raise AeroFnError("the node cannot go on", hint="its log lines above say why")
