"""Every named statement fits the schema: PostgreSQL itself prepares it, with its tables and types."""

import asyncpg
import pglast
from pglast import ast

from aerofn import sql

KINDS = (ast.SelectStmt, ast.InsertStmt, ast.UpdateStmt, ast.DeleteStmt, ast.MergeStmt)


def statements() -> list[tuple[str, str]]:
    """Name and text of those PostgreSQL can prepare: one statement, no {braces} to be filled in."""
    found = []
    for path in sorted((sql.share("sql") / "queries").glob("*.sql")):
        for name, text in sql.parse_queries(path.stem, path.read_text(encoding="utf-8")).items():
            if (
                "{" not in text
                and isinstance(pglast.parse_sql(text)[0].stmt, KINDS)
                and len(pglast.parse_sql(text)) == 1
            ):
                found.append((f"{path.stem}.{name}", text))
    return found


async def test_every_statement_can_be_prepared(database):
    connection = await database.connect()
    await connection.execute(sql.queries("dev").make_migrations)
    wrong = {}
    for name, text in statements():
        try:
            await connection.prepare(text)
        except asyncpg.PostgresError as error:
            wrong[name] = str(error)
    assert wrong == {}
    assert len(statements()) > 10
