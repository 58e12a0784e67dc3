"""The pytest plugin: fixtures `function` and `db`, and test cases in TOML as tests (see `cases`).

A project asks for it in its conftest.py: `pytest_plugins = ["aerofn.testing.plugin"]`. It does not install itself, for
its fixtures have common names.

    def test_it_counts_words(function, db):
        note = db.row("INSERT INTO notes (body) VALUES ('the quick brown fox') RETURNING *")
        result = function("count-words").row(note)
        assert result.value == {"words": 4}
        assert db.row("SELECT words FROM notes")["words"] == 4

Plain functions, no `async`: what is asynchronous goes on in a thread of its own.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aerofn import project
from aerofn.testing.bench import Bench, Db, Runnable
from aerofn.testing.cases import SUFFIX, Case, read_cases


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--aerofn-database-url`."""
    parser.addoption(
        "--aerofn-database-url",
        help="PostgreSQL to test functions on; else DATABASE_URL, else an embedded one",
    )


@pytest.fixture(scope="session")
def aerofn_bench(pytestconfig: pytest.Config) -> Iterator[Bench]:
    """The database, the runtime and the functions of the project that pytest runs in."""
    with Bench(_project(pytestconfig.rootpath), pytestconfig.getoption("--aerofn-database-url")) as bench:
        yield bench


@pytest.fixture
def db(aerofn_bench: Bench) -> Iterator[Db]:
    """The test's transaction, rolled back when it is over."""
    with aerofn_bench.trial() as trial:
        yield trial


@pytest.fixture
def function(aerofn_bench: Bench, db: Db) -> Callable[[str], Runnable]:
    """`function("count-words")`: a function of aerofn.toml, or of a source file, to run in the test's transaction."""
    return lambda name: Runnable(aerofn_bench, db, name)


def _project(start: Path) -> Path:
    """The nearest folder at or above `start` with an aerofn.toml, else `start`."""
    return next((folder for folder in (start, *start.parents) if (folder / project.FILE).is_file()), start)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> "_File | None":
    """Cases in TOML are collected like any test."""
    if file_path.name.endswith(SUFFIX):
        return _File.from_parent(parent, path=file_path)
    return None


class _File(pytest.File):
    def collect(self) -> Iterator[pytest.Function]:
        for case in read_cases(self.path):
            yield pytest.Function.from_parent(self, name=case.name, callobj=_test_of(case))


def _test_of(case: Case) -> Callable[[Bench], None]:
    def test(aerofn_bench: Bench) -> None:
        __tracebackhide__ = True
        case.run(aerofn_bench)

    return test
