"""`aerofn init` in every language: what it writes builds, and its tests pass right away."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aerofn.cli.init import Language, init
from aerofn.errors import Conflict
from aerofn.project import read
from aerofn.testing import Bench
from aerofn.testing.cases import find_cases, read_cases

pytestmark = pytest.mark.timeout(400)  # Python's and C's toolchains take their time


def aerofn(*arguments: Any, cwd: Path, module: str = "aerofn") -> "subprocess.CompletedProcess[str]":
    environment = {k: v for k, v in os.environ.items() if k != "DATABASE_URL"}
    command = [sys.executable, "-m", module, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def test_from_nothing_to_a_passing_test(tmp_path: Path) -> None:
    """As a newcomer does it: no database, no service."""
    made = aerofn("init", "shop", "--lang", "js", cwd=tmp_path)
    assert "cd shop && aerofn test" in made.stdout, made.stderr
    tested = aerofn("test", cwd=tmp_path / "shop")
    assert "3 passed, 0 failed" in tested.stdout, tested.stderr
    assert tested.returncode == 0
    cases = tmp_path / "shop" / "tests" / "count-words.test.toml"
    cases.write_text(cases.read_text().replace("{ words = 0 }", "{ words = 7 }"))
    failed = aerofn("test", cwd=tmp_path / "shop")
    assert "expected: {'words': 7}\n    found:    {'words': 0}" in failed.stdout, failed.stderr
    assert failed.returncode == 1


@pytest.fixture
async def empty_url(database: Any) -> str:
    """A database with AeroFn and the tables of the new project, as a developer's own has."""
    from aerofn.cli.init import _TEMPLATES

    conn = await database.connect()
    await conn.execute((_TEMPLATES / "common" / "db" / "0001_notes.sql").read_text())
    return database.url


@pytest.mark.parametrize("language", [Language.TS, Language.PYTHON, Language.C])
def test_in_every_language(language: Language, tmp_path: Path, empty_url: str) -> None:
    init(tmp_path, language)
    assert read(tmp_path).functions["count-words"].run_as == "service_role"
    (file,) = find_cases(tmp_path)
    with Bench(tmp_path, empty_url) as bench:
        for case in read_cases(file):
            case.run(bench)
    if language is Language.PYTHON:
        url = f"--aerofn-database-url={empty_url}"
        done = aerofn("-q", url, "-p", "no:cacheprovider", cwd=tmp_path, module="pytest")
        assert "5 passed" in done.stdout, done.stdout + done.stderr


def test_the_editor_finds_the_types(tmp_path: Path) -> None:
    init(tmp_path, Language.PYTHON)
    command = [sys.executable, "-m", "mypy", "--strict", "functions"]
    done = subprocess.run(
        command, cwd=tmp_path, env={"MYPYPATH": "typings"}, capture_output=True, text=True, check=False
    )
    assert "Success" in done.stdout, done.stdout + done.stderr


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(Conflict, match=r"README\.md"):
        init(tmp_path, Language.JS)
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


@pytest.fixture(autouse=True)
def no_database_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    yield
