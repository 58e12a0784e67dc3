"""`aerofn.toml`: what a project declares of its functions and of what starts them.

Keys are named as the arguments of the SQL functions they end up in: `aerofn.register_function()`,
`create_row_trigger()`, `create_schedule()`, `create_webhook()`. A key that is left out has that argument's default.
"""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from aerofn.errors import SettingsError

FILE = "aerofn.toml"


class Function(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A function: `source` is built (.js, .ts, .py, .c) or taken as it is (.wasm); below the file's folder."""

    source: str
    timeout_ms: int | None = None
    memory_mb: int | None = None
    env: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    roles: tuple[str, ...] | None = None
    run_as: str | None = None
    max_concurrency: int | None = None
    rate_limit: str | None = None


class RowTrigger(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Runs `function` for every row of `table` that changes."""

    function: str
    table: str
    events: tuple[str, ...] = ("INSERT", "UPDATE", "DELETE")
    run_as: str | None = None
    when: str | None = None
    columns: tuple[str, ...] | None = None
    max_attempts: int = 5
    ordered_by: str | None = None
    batch_size: int = 1
    enabled: bool = True


class Schedule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Runs `function` at the times of `cron`, by the clocks of `timezone`; `payload` is any TOML value."""

    function: str
    cron: str
    timezone: str = "UTC"
    missed: str = "skip"
    payload: Any = None
    run_as: str | None = None
    max_attempts: int = 5
    enabled: bool = True


class Webhook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Runs `function` for what a sender posts to `/hooks/v1/<name>`; `secrets` are names of secrets."""

    function: str
    scheme: str
    secrets: tuple[str, ...]
    header: str | None = None
    encoding: str | None = None
    prefix: str | None = None
    id_from: str | None = None
    tolerance_s: int = 300
    max_kb: int = 1024
    run_as: str | None = None
    max_attempts: int = 5
    enabled: bool = True


Trigger = RowTrigger | Schedule | Webhook


class Declared(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file: everything by its name."""

    functions: dict[str, Function] = {}
    row_triggers: dict[str, RowTrigger] = {}
    schedules: dict[str, Schedule] = {}
    webhooks: dict[str, Webhook] = {}

    @property
    def triggers(self) -> Iterator[tuple[str, str, Trigger]]:
        """Each trigger with the table of the file that it stands in, and its name."""
        for table in ("row_triggers", "schedules", "webhooks"):
            for name, trigger in getattr(self, table).items():
                yield table, name, trigger


class Project(Declared, frozen=True, kw_only=True):
    """What is declared, and the folder it lies in."""

    folder: Path


def read(where: Path) -> Project:
    """The project of an `aerofn.toml`, or of the folder it lies in.

    Raises:
        SettingsError: there is none, or it says something else than it may; names the key or the line.
    """
    file = where / FILE if where.is_dir() else where
    try:
        declared = msgspec.convert(tomllib.loads(file.read_text(encoding="utf-8")), Declared)
    except OSError as error:
        raise SettingsError(
            f"{file} cannot be read: {error.strerror}", hint="aerofn init makes a project with one"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file} is not valid TOML: {error}") from None
    except msgspec.ValidationError as error:
        raise SettingsError(f"{file}: {error}", hint="all keys are in docs/project.md") from None
    project = Project(folder=file.parent, **msgspec.structs.asdict(declared))
    _check(project, file)
    return project


def _check(project: Project, file: Path) -> None:
    named: dict[str, str] = {}
    for table, name, trigger in project.triggers:
        if name in named:
            raise SettingsError(
                f"{file}: {table}.{name} has the name of {named[name]}.{name}",
                hint="a trigger's name is unique",
            )
        named[name] = table
        if trigger.function not in project.functions:
            raise SettingsError(
                f"{file}: {table}.{name} starts function {trigger.function!r}, which is not declared",
                hint=f'declare it: [functions.{trigger.function}] with source = "…"',
            )
    for name, function in project.functions.items():
        source = project.folder / function.source
        if not source.is_file():
            raise SettingsError(
                f"{file}: functions.{name} has the source {function.source}, which is not there",
                hint=f"looked for {source.resolve()}",
            )
