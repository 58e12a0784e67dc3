"""The pages about languages and testing: their code is checked and built, their tests pass."""

import asyncio
import os
import subprocess
import sys

import pytest

from aerofn.build import build
from aerofn.cli.init import Language, init
from aerofn.testing.cases import Case
from tests.conftest import compiled

from .blocks import blocks
from .reader import ROOT

DOCS = ROOT / "docs"
SDK = ROOT / "aerofn" / "build" / "sdk_python"


def of(page, language):
    found = [block.text for block in blocks(DOCS / page) if block.language == language]
    assert found
    return found


def test_its_python_is_what_the_sdk_takes(tmp_path):
    """Every block by a type checker, with the package that functions import: names, arguments and results are there."""
    for number, text in enumerate(of("python.md", "python")):
        (tmp_path / f"block_{number}.py").write_text(text)
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--check-untyped-defs",
        "--cache-dir",
        tmp_path / "cache",
        tmp_path,
    ]
    done = subprocess.run(
        command, cwd=tmp_path, env={"MYPYPATH": str(SDK)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.timeout(240)
def test_its_c_builds(tmp_path):
    pytest.importorskip("ziglang")
    for number, text in enumerate(of("c-and-rust.md", "c")):
        (tmp_path / f"{number}.c").write_text(text)
        assert build(tmp_path / f"{number}.c").warnings == ()


PAY = """export async function handler({ amount }) {
  const asked = { method: "POST", headers: { key: env.KEY }, body: `${amount}` };
  return (await fetch("https://pay.example/charges", asked)).json();
}
"""


@pytest.mark.timeout(240)
async def test_the_page_of_testing_as_the_tests_of_a_new_project(tmp_path, database):
    """Its cases and its tests in Python, beside those that the project began with."""
    init(tmp_path, Language.JS)
    conn = await database.connect()
    await conn.execute((tmp_path / "db" / "0001_notes.sql").read_text())
    (tmp_path / "functions" / "pay.js").write_text(PAY)
    with (tmp_path / "aerofn.toml").open("a") as project:
        project.write(
            '\n[functions.pay]\nsource = "functions/pay.js"\nhosts = ["pay.example"]\nenv = ["KEY"]\n'
        )
    conftest, tests = of("testing.md", "python")
    (tmp_path / "conftest.py").write_text(conftest)
    (tmp_path / "tests" / "test_page.py").write_text(tests)
    (tmp_path / "tests" / "page.test.toml").write_text(of("testing.md", "toml")[0])
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = await asyncio.create_subprocess_exec(
        *command, f"--aerofn-database-url={database.url}", cwd=tmp_path, stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "AEROFN_CACHE_DIR": str(compiled())},
    )  # fmt: skip
    said, _ = await done.communicate()
    assert "7 passed" in said.decode(), said.decode()


def test_every_key_of_a_case_is_described():
    page = (DOCS / "testing.md").read_text()
    missing = [name for name in Case.__struct_fields__ if name != "name" and f"`{name}`" not in page]
    assert missing == []
