"""The SQL check finds what it is there to find, and nothing in the files of the product."""

import check_sql
import pytest

from aerofn import sql


def function(body: str, options: str = "", header: str = "aerofn.f() RETURNS void") -> str:
    return f"CREATE FUNCTION {header} LANGUAGE plpgsql {options} AS $$ {body} $$;"


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("CREATE TABEL aerofn.t (a int)", "does not parse"),
        ("CREATE TABLE aerofn.t (a int); COMMIT", "begins or ends a transaction"),
        ("CREATE TABLE loose (a int)", "names 'loose' without its schema"),
        (function("BEGIN RETRUN; END"), "does not parse"),
        (function("BEGIN PERFORM 1 +; END"), "does not parse"),
        (function("DECLARE n int; BEGIN n := (SELECT a FROM loose); END"), "names 'loose'"),
        (function("BEGIN INSERT INTO loose VALUES (1); END"), "names 'loose'"),
        (function("BEGIN IF EXISTS (SELECT FROM loose) THEN RETURN; END IF; END"), "names 'loose'"),
        ("DO $$ BEGIN PERFORM 1 FROM loose; END $$", "names 'loose'"),
        ("CREATE FUNCTION aerofn.f() RETURNS int LANGUAGE sql AS 'SELECT a FROM loose'", "names 'loose'"),
        (function("BEGIN END", "SECURITY DEFINER SET search_path = pg_temp, pg_catalog"), "SECURITY DEFINER"),
        (
            "CREATE FUNCTION aerofn.f() RETURNS int SECURITY DEFINER LANGUAGE sql AS 'SELECT 1'",
            "SECURITY DEFINER",
        ),
        ("ALTER FUNCTION aerofn.f() SECURITY DEFINER", "makes a function SECURITY DEFINER"),
        *(
            (
                f"CREATE FUNCTION aerofn.f({header}) RETURNS void SECURITY DEFINER LANGUAGE plpgsql AS {body};",
                "pg_temp, and is not written between $$",
            )
            for header, body in {
                "": "'BEGIN PERFORM now(); END'",
                "a int": "$f$BEGIN PERFORM now(); END$f$",
                "b text DEFAULT $$ AS $$": "'BEGIN PERFORM now(); END'",
                "c text DEFAULT $$c$$": "$$ BEGIN PERFORM pg_catalog.now(); END $$",
            }.items()
        ),
        *(
            (
                function(body, "SECURITY DEFINER"),
                f"SECURITY DEFINER without SET search_path = …, pg_temp, and {what}",
            )
            for body, what in {
                "BEGIN PERFORM now(); END": "does not qualify now",
                "BEGIN IF 1 OPERATOR(pg_catalog.=) 1 AND 1 < 2 THEN RETURN; END IF; END": "does not qualify <",
                "BEGIN PERFORM pg_catalog.abs('1'::jsonb); END": "does not qualify jsonb",
                "BEGIN PERFORM nullif(1, 2); END": "does not qualify =",
                "BEGIN PERFORM 1 IN (1, 2); END": "does not qualify =",
                "BEGIN PERFORM CASE 1 WHEN 1 THEN 2 END; END": "does not qualify CASE",
                "BEGIN PERFORM 1 ORDER BY 1; END": "does not qualify FROM",
                "DECLARE t text; BEGIN RETURN; END": "does not qualify text",
                "declare t text; begin return; end": "does not qualify text",
                'DECLARE "T" text; BEGIN RETURN; END': "does not qualify text",
                "DECLARE t /* ; */ CONSTANT text := ''; BEGIN RETURN; END": "does not qualify text",
                "DECLARE n int; -- BEGIN\n t text; BEGIN RETURN; END": "does not qualify text",
                "DECLARE t aerofn.triggers; BEGIN PERFORM now(); END": "does not qualify now",
                'DECLARE t pg_catalog.text COLLATE "C"; BEGIN RETURN; END': "does not qualify C",
                "BEGIN IF pg_catalog.now() IN (SELECT 1) THEN RETURN; END IF; END": "does not qualify IN (SELECT …)",
                "BEGIN PERFORM 1 = ANY (SELECT 1); END": "does not qualify =",
                "BEGIN PERFORM (1, 2) < (SELECT 1, 2); END": "does not qualify <",
                "BEGIN PERFORM pg_catalog.array_agg(1 ORDER BY 1 USING <); END": "does not qualify <",
                "BEGIN PERFORM pg_catalog.upper('i' COLLATE loose); END": "does not qualify loose",
                "BEGIN <<x>> DECLARE t pg_catalog.text; BEGIN RETURN; END; END": "has a DECLARE within",
                "DECLARE n int; BEGIN DECLARE t text; BEGIN RETURN; END; END": "has a DECLARE within",
                "DECLARE n int; ": "has what cannot be looked at",
                "BEGIN EXECUTE 'SELECT now()'; END": "has EXECUTE",
                "DECLARE r record; BEGIN FOR r IN EXECUTE 'SELECT now()' LOOP END LOOP; END": "has EXECUTE",
            }.items()
        ),
    ],
)
def test_what_is_wrong_in_a_script_is_found(text, finding):
    assert [True for found in check_sql.check_script(text) if finding in found], list(
        check_sql.check_script(text)
    )


@pytest.mark.parametrize(
    "text",
    [
        function("BEGIN END", "SECURITY DEFINER SET search_path = pg_catalog, pg_temp"),
        function(
            "DECLARE t pg_catalog.text := pg_catalog.now()::pg_catalog.text; n bigint;"
            "c CONSTANT pg_catalog.text COLLATE pg_catalog.\"C\" NOT NULL := 'a; DECLARE b text';"
            "BEGIN IF t OPERATOR(pg_catalog.<>) '' AND 1 OPERATOR(pg_catalog.=) ANY (SELECT 1) AND EXISTS (SELECT 1)"
            " AND coalesce(f.a, 1::bit(64)) IS NOT NULL THEN RETURN; END IF; END",
            "SECURITY DEFINER",
            header="aerofn.f(a text) RETURNS void",
        ),
        function("DECLARE n int; r record; BEGIN n = 1; r.a := n; PERFORM 1 FROM aerofn.t, pg_class; END"),
        function(
            "DECLARE t aerofn.triggers; BEGIN t := NULL; END", header="aerofn.f(o aerofn.t) RETURNS int"
        ),
        "-- a comment with … in it\nWITH w AS (SELECT 1) SELECT * FROM w; " + function("BEGIN RETURN; END"),
    ],
)
def test_what_is_right_in_a_script_passes(text):
    assert list(check_sql.check_script(text)) == []


def test_a_named_statement_with_parameters_is_one_statement():
    assert list(check_sql.check_query("SELECT $1; SELECT 2")) == ["has parameters, but 2 statements"]
    assert list(check_sql.check_query("RESET ALL; SELECT 1")) == []
    assert list(check_sql.check_query("SELECT aerofn.{name}($1)")) == []
    assert "does not parse" in next(check_sql.check_query("SELEKT 1"))


def test_findings_name_the_file_and_make_the_check_fail(tmp_path, capsys):
    (tmp_path / "queries").mkdir()
    (tmp_path / "queries" / "events.sql").write_text("-- name: lease\nSELECT * FROM events;\n")
    assert check_sql.main(tmp_path) == 1
    assert capsys.readouterr().out == "sql/queries/events.sql: lease: names 'events' without its schema\n"


def test_the_files_of_the_product_pass(capsys):
    assert check_sql.main(sql.share("sql")) == 0, capsys.readouterr().out
