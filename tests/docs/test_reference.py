"""The reference pages say what there is: settings, functions, views; and their examples run."""

import re
from pathlib import Path

import pytest
import yaml

from tools.settings_page import PAGE, page

from .blocks import blocks

ROOT = Path(__file__).resolve().parents[2]
SQL_API = ROOT / "docs" / "sql-api.md"
REACH = ROOT / "docs" / "reach.md"
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
        described = [part.split()[0].strip('"') for part in re.split(r",\s+", signature[1])]
        assert described == list(parameters), name


async def test_the_examples_run(database):
    conn = await database.connect()
    await conn.execute("CREATE TABLE orders (id bigserial PRIMARY KEY, status text, total numeric)")
    await conn.execute("SELECT aerofn.register_function('send-mail', $1)", COMPONENT)
    # what a node with a secret key does at its start; any modulus will do for sealing
    await conn.execute(r"SELECT aerofn_internal.offer_key_pair(2::numeric ^ 3071 + 1, '\x00')")
    examples = [block for page in (SQL_API, REACH) for block in blocks(page) if block.language == "sql"]
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
    "name",
    [
        "architecture",
        "c-and-rust",
        "glossary",
        "javascript",
        "python",
        "reach",
        "security",
        "settings",
        "sql-api",
        "testing",
    ],
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


def test_every_setting_that_is_named_exists():
    from aerofn import settings

    known = {f"AEROFN_{name.upper()}" for name in settings.Settings.__struct_fields__} | settings.FOREIGN_KEYS
    pages = [
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / name for name in ("README.md", "Dockerfile", "docker-compose.yml")),
    ]
    named = {
        (page.name, key) for page in pages for key in re.findall(r"AEROFN_[A-Z_]*[A-Z]", page.read_text())
    }
    assert len(named) > 30
    assert [
        (p, key) for p, key in sorted(named) if key not in known and not key.startswith("AEROFN_ENV")
    ] == []


def test_the_container_files_keep_their_promises():
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    assert services["postgres"]["image"] == "postgres:18"
    assert services["postgres"]["healthcheck"]["test"]
    assert services["aerofn"]["depends_on"]["postgres"]["condition"] == "service_healthy"
    assert services["aerofn"]["read_only"] is True
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert re.search(r"^USER \d+$", dockerfile, re.MULTILINE)
    assert re.search(r"^HEALTHCHECK ", dockerfile, re.MULTILINE)
