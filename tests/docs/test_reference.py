"""The reference pages say what there is: settings, functions, views; and their examples run."""

import re
from pathlib import Path

import pytest

from tools.settings_page import PAGE, page

from .blocks import blocks

ROOT = Path(__file__).resolve().parents[2]
SQL_API = ROOT / "docs" / "sql-api.md"
COMPONENT = bytes.fromhex("0061736d0d000100")


def test_settings_page_is_what_settings_say():
    assert PAGE.read_text(encoding="utf-8") == page(), "write it again: python -m tools.settings_page"


async def test_every_function_and_view_is_described(database):
    conn = await database.connect()
    functions = await conn.fetch(
        "SELECT DISTINCT p.proname FROM pg_proc p WHERE p.pronamespace = 'aerofn'::regnamespace ORDER BY 1"
    )
    views = await conn.fetch("SELECT viewname FROM pg_views WHERE schemaname = 'aerofn' ORDER BY 1")
    text = SQL_API.read_text(encoding="utf-8")
    missing = [row[0] for row in functions if f"`aerofn.{row[0]}(" not in text]
    missing += [row[0] for row in views if f"`aerofn.{row[0]}`" not in text]
    assert missing == []


async def test_every_parameter_is_described(database):
    conn = await database.connect()
    rows = await conn.fetch(
        "SELECT proname, proargnames FROM pg_proc WHERE pronamespace = 'aerofn'::regnamespace AND pronargs > 0"
    )
    text = SQL_API.read_text(encoding="utf-8")
    for name, parameters in rows:
        signature = re.search(rf"`aerofn\.{name}\(([^`]*)\)", text)
        assert signature, name
        described = [part.split()[0].strip('"') for part in signature[1].split(", ")]
        assert described == list(parameters), name


async def test_the_examples_run(database):
    conn = await database.connect()
    await conn.execute("CREATE TABLE orders (id bigserial PRIMARY KEY, status text, total numeric)")
    await conn.execute("SELECT aerofn.register_function('send-mail', $1)", COMPONENT)
    examples = [block for block in blocks(SQL_API) if block.language == "sql"]
    assert examples
    for example in examples:
        if "$1" in example.text:
            await conn.fetch(example.text.rstrip().rstrip(";"), COMPONENT)
        else:
            await conn.execute(example.text)
        # what a node does meanwhile
        await conn.execute(
            "SELECT aerofn_internal.compiled(id, NULL) FROM aerofn_internal.versions WHERE status = 'compiling'"
        )


@pytest.mark.parametrize(
    "name", ["architecture", "glossary", "javascript", "security", "settings", "sql-api"]
)
def test_the_pages_are_there(name):
    assert (ROOT / "docs" / f"{name}.md").stat().st_size > 500


def test_every_error_code_is_described():
    from aerofn import errors

    text = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.AeroFnError)
    ]
    assert len(kinds) > 15
    missing = [kind.code for kind in kinds if f"`{kind.code}`" not in text]
    assert missing == []
