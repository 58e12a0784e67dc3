"""The commands of a function's author: begin a project, build, test, develop, apply, rehearse."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

group = typer.Typer()
DatabaseUrl = Annotated[str | None, Option(help="PostgreSQL; else DATABASE_URL", show_default=False)]
AsJson = Annotated[bool, Option("--json", help="JSON for programs")]


class Language(StrEnum):
    """What a function can be written in; as `aerofn.cli.init.Language`, which takes longer to import."""

    JS = "js"
    TS = "ts"
    PYTHON = "python"
    C = "c"


class Engine(StrEnum):
    """What runs a JavaScript function."""

    QUICKJS = "quickjs"
    SPIDERMONKEY = "spidermonkey"


@group.command()
def init(
    folder: Annotated[Path, Argument(help="made if missing")] = Path(),
    lang: Annotated[Language, Option(help="of the function")] = Language.JS,
) -> None:
    """Begin a project.

    It has a function, its trigger in aerofn.toml, its table, and a test.
    """
    from aerofn.cli import init as starting  # noqa: PLC0415

    starting.run(folder, starting.Language(lang))


@group.command()
def test(
    where: Annotated[Path, Argument(help="a folder or a file of cases")] = Path(),
    database_url: DatabaseUrl = None,
) -> None:
    """Run a project's test cases.

    They are in *.test.toml. Each is run in a transaction that is rolled back, without a service: on the database of
    --database-url or DATABASE_URL, else on an embedded PostgreSQL with the tables of db/*.sql.
    """
    from aerofn.cli import testing  # noqa: PLC0415

    sys.exit(testing.run(where, database_url))


@group.command()
def build(
    source: Annotated[Path, Argument(help="a .js, .ts, .py or .c file, or a .wasm of another toolchain")],
    output: Annotated[
        Path | None, Option("--output", "-o", help="else beside it, ending in .wasm", show_default=False)
    ] = None,
    minify: Annotated[bool, Option("--minify", help="a smaller component (JavaScript)")] = False,
    engine: Annotated[Engine, Option(help="that runs the JavaScript")] = Engine.QUICKJS,
) -> None:
    """Build a function's component from its source.

    A component of another toolchain is checked, a core module is made a component.
    """
    from aerofn.cli import building  # noqa: PLC0415

    building.run(source, output, minify=minify, engine=engine)


@group.command()
def dev(
    project: Annotated[Path, Argument(help="the folder of aerofn.toml")] = Path(),
    database_url: Annotated[
        str | None, Option(help="a PostgreSQL of yours; else one below .aerofn/", show_default=False)
    ] = None,
    port: Annotated[
        int | None, Option(help="of the HTTP server; else 8787 or a free one", show_default=False)
    ] = None,
    fresh: Annotated[bool, Option("--fresh", help="begin with an empty database")] = False,
) -> None:
    """Work on a project.

    At every save it is built and applied, and what runs is shown.
    """
    from aerofn.cli.dev import run  # noqa: PLC0415

    run(project, database_url, port, fresh=fresh)


@group.command()
def apply(  # noqa: PLR0917  typer's options are the parameters
    project: Annotated[Path, Argument(help="the folder of aerofn.toml, or the file")] = Path(),
    dry_run: Annotated[
        bool, Option("--dry-run", help="only show the plan; exit code 1 if the database is not as declared")
    ] = False,
    prune: Annotated[bool, Option("--prune", help="drop what is not declared")] = False,
    yes: Annotated[bool, Option("--yes", "-y", help="do not ask before dropping")] = False,
    wait: Annotated[float, Option(min=0, help="seconds for compiling")] = 60.0,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Make the database as aerofn.toml declares.

    Functions and their triggers, all in one transaction.
    """
    from aerofn.cli.apply import command  # noqa: PLC0415

    wish = command.Wish(
        where=project, database_url=database_url, prune=prune, dry_run=dry_run, yes=yes, wait=wait,
        as_json=as_json,
    )  # fmt: skip
    sys.exit(command.run(wish))


@group.command()
def rehearse(
    function: Annotated[str, Argument(help="the function")],
    version: Annotated[int, Option(help="the version to try beside the active one")],
    last: Annotated[int, Option(min=1, max=10_000, help="how many of the last kept events")] = 100,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Try past events with another version, and compare.

    Both versions run in transactions that are rolled back. Outgoing HTTP is refused. Exit code 1 when the other version
    does otherwise than the active one.
    """
    from aerofn.cli.rehearse import command  # noqa: PLC0415

    sys.exit(command.run(database_url, function, version, last, as_json=as_json))
