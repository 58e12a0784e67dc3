"""The pages about languages and testing: their code compiles, their cases are cases."""

import ast
import tomllib

import pytest

from aerofn.build import build
from aerofn.testing.cases import Case, read_cases

from .blocks import blocks
from .reader import ROOT

DOCS = ROOT / "docs"


def of(page, language):
    found = [block.text for block in blocks(DOCS / page) if block.language == language]
    assert found
    return found


@pytest.mark.parametrize("page", ["python.md", "testing.md"])
def test_its_python_compiles(page):
    for text in of(page, "python"):
        ast.parse(text)


@pytest.mark.timeout(240)
def test_its_c_builds(tmp_path):
    pytest.importorskip("ziglang")
    for number, text in enumerate(of("c-and-rust.md", "c")):
        (tmp_path / f"{number}.c").write_text(text)
        assert build(tmp_path / f"{number}.c").warnings == ()


def test_its_cases_are_cases(tmp_path):
    (text,) = of("testing.md", "toml")
    (tmp_path / "page.test.toml").write_text(text)
    assert [case.function for case in read_cases(tmp_path / "page.test.toml")] == ["count-words"] * 2


def test_every_key_of_a_case_is_described():
    page = (DOCS / "testing.md").read_text()
    missing = [name for name in Case.__struct_fields__ if name != "name" and f"`{name}`" not in page]
    assert missing == []


def test_the_cargo_file_is_toml():
    assert tomllib.loads(of("c-and-rust.md", "toml")[0])["lib"] == {"crate-type": ["cdylib"]}
