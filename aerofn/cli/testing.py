"""`aerofn test`: runs the test cases of a project, and tells what came of each."""

import time
from pathlib import Path

from rich.console import Console

from aerofn import project
from aerofn.cli.output import BAD, FAILED, GOOD, OK, QUIET, console
from aerofn.errors import NotFound
from aerofn.testing.bench import Bench
from aerofn.testing.cases import SUFFIX, Case, find_cases, read_cases


def run(where: Path, database_url: str | None) -> int:
    """Run all cases in `where`, a folder or a file; the exit code.

    Raises:
        AeroFnError: there are no cases, or they cannot be run: a function does not build, no database.
    """
    files = find_cases(where)
    if not files:
        raise NotFound(
            f"there are no test cases in {where.resolve()}",
            hint=f"write some in a file that ends in {SUFFIX}, see docs/testing.md; tests in Python are run by pytest",
        )
    cases = [(file, case) for file in files for case in read_cases(file)]
    out = console()
    with Bench(_project(where), database_url) as bench:
        with console(stderr=True).status("building"):
            for name in dict.fromkeys(case.function for _, case in cases):
                bench.function(name)
        failed = [case for file, case in cases if not _passes(case, file, bench, out)]
    out.print(f"{len(cases) - len(failed)} passed, {len(failed)} failed", style=BAD if failed else GOOD)
    return FAILED if failed else OK


def _passes(case: Case, file: Path, bench: Bench, out: Console) -> bool:
    started = time.perf_counter()
    try:
        case.run(bench)
    except AssertionError as difference:
        out.print(f"✗ {case.name}", style=BAD)
        out.print(f"  {file}")
        out.print("  " + str(difference).replace("\n", "\n  "))
        return False
    milliseconds = (time.perf_counter() - started) * 1000
    out.print(f"✓ {case.name}", style=GOOD, end="")
    out.print(f"  {milliseconds:.0f} ms", style=QUIET)
    return True


def _project(where: Path) -> Path:
    start = where.resolve() if where.is_dir() else where.resolve().parent
    return next((folder for folder in (start, *start.parents) if (folder / project.FILE).is_file()), start)
