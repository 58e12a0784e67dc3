"""SQL by name."""

from pathlib import Path

import pytest

from aerofn import sql

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A `sql` directory of the test's own; gives a function that writes one file."""
    monkeypatch.setattr(sql, "_PACKAGE", tmp_path / "aerofn")
    sql.queries.cache_clear()

    def write(name: str, content: str) -> None:
        path = tmp_path / "sql" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")

    yield write
    sql.queries.cache_clear()


def test_named_statements(tree):
    tree("queries/events.sql", """-- About events.

-- name: lease_events
-- What it does.
-- More of it.
SELECT 1 -- inside
FROM t;

--name:bury
DELETE FROM t
""")  # fmt: skip
    queries = sql.queries("events")
    assert queries.lease_events == "SELECT 1 -- inside\nFROM t"
    assert queries.bury == "DELETE FROM t"
    assert dir(queries) == ["bury", "lease_events"]
    assert "bury" in queries
    assert "dig" not in queries


def test_a_missing_statement_is_named_with_those_there_are(tree):
    tree("queries/events.sql", "-- name: a\nSELECT 1;\n-- name: b\nSELECT 2;\n")
    with pytest.raises(AttributeError, match=r"sql/queries/events\.sql has no statement 'c'; it has: a, b"):
        _ = sql.queries("events").c


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("SELECT 0;\n-- name: a\nSELECT 1;", "before its first"),
        ("-- name: a\nSELECT 1;\n-- name: a\nSELECT 2;", "two statements named 'a'"),
    ],
)
def test_a_file_that_is_no_list_of_statements(tree, content, message):
    tree("queries/events.sql", content)
    with pytest.raises(ValueError, match=message):
        sql.queries("events")


def test_migrations_in_order(tree):
    tree("migrations/0010_ten.sql", "SELECT 10;")
    tree("migrations/0002_two.sql", "SELECT 2;")
    assert [(m.version, m.name, m.text) for m in sql.migrations()] == [
        (2, "two", "SELECT 2;"),
        (10, "ten", "SELECT 10;"),
    ]
    assert len({m.checksum for m in sql.migrations()}) == 2


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("0002_other.sql", "two migrations are numbered 0002"),
        ("2_two.sql", "not called NNNN_name"),
        ("x.sql", "NNNN_name"),
    ],
)
def test_a_wrong_name_of_a_migration(tree, name, message):
    tree("migrations/0002_two.sql", "SELECT 2;")
    tree(f"migrations/{name}", "SELECT 3;")
    with pytest.raises(ValueError, match=message):
        sql.migrations()


def test_the_checksum_is_of_the_text_and_not_of_its_line_ends():
    assert sql.checksum("a\r\nb") == sql.checksum("a\nb") != sql.checksum("a b")


def test_the_api_in_order(tree):
    tree("api/20_b.sql", "SELECT 2;")
    tree("api/10_a.sql", "SELECT 1;")
    assert sql.api() == [("10_a.sql", "SELECT 1;"), ("20_b.sql", "SELECT 2;")]


def test_the_packaged_copy_comes_first(tree, tmp_path):
    tree("harden.sql", "of the checkout")
    assert sql.text("harden.sql") == "of the checkout"
    packaged = tmp_path / "aerofn" / "_share" / "sql"
    packaged.mkdir(parents=True)
    (packaged / "harden.sql").write_text("of the wheel")
    assert sql.text("harden.sql") == "of the wheel"


def test_an_installation_without_the_files_says_so(tree):
    with pytest.raises(FileNotFoundError, match="no 'wit' directory"):
        sql.share("wit")


def test_the_checkout_has_them():
    assert sql.share("sql") == ROOT / "sql"
    assert (sql.share("wit") / "aerofn.wit").is_file()
    assert sql.migrations()[0].name == "bootstrap"
