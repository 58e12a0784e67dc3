"""Checks every file below `sql/` with PostgreSQL's own parser: `python tools/check_sql.py`; 1 on findings.

1. Everything parses: statements, function bodies, and the statements and expressions in them.
2. A named statement (sql/queries) with parameters is one statement, as PostgreSQL's protocol wants it.
3. No migration or API file begins or ends a transaction: `migrate` does.
4. A SECURITY DEFINER function pins its search_path, temporary tables last; or, where that costs too much, it is in
   PL/pgSQL, written so that all of it can be looked at (between $$, no DECLARE within, no EXECUTE), and qualifies
   every name: of functions, operators, types and collations. No function is made SECURITY DEFINER afterwards.
5. Every relation is named with its schema: what a search_path says must never matter.
"""

import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from pglast import ast, parse_plpgsql, parse_sql
from pglast.parser import ParseError, Token, scan
from pglast.visitors import Skip, Visitor

from aerofn import sql

# The parser knows no types of other schemas, and which type it is does not matter here.
_TYPE_ENDS = r"(?=\s*(?:\[\])?\s*(?:,|\)|;|:=|NOT NULL|LANGUAGE|DEFAULT))"
_TYPE = re.compile(rf"(?<=\s)aerofn\w*\.\w+(?:%\w+)?{_TYPE_ENDS}")
# Transition tables have no schema. Row triggers are made by dynamic SQL: their names stand in a literal.
_TRANSITION = re.compile(r"\bTABLE AS (\w+)")
# What the service fills in before it sends a statement stands in {braces}.
_FILLED_IN = re.compile(r"\{\w+\}")
_PARAMETER = re.compile(r"\$\d")
_BODY = re.compile(r"(.*\bAS\s*)\$\$(.*)\$\$([^$]*)", re.DOTALL | re.IGNORECASE)
_AFTER_TYPE = {"NOT", "COLON_EQUALS", "ASCII_61", "DEFAULT"}  # ASCII_61 is =
_STATEMENT, _EXPRESSION = 0, 2  # how PL/pgSQL parses a part; beyond these are the kinds of assignment


def _example(filled_in: re.Match[str]) -> str:
    """What may stand there: a whole query for {query}, else a name."""
    return "SELECT 1" if filled_in[0] == "{query}" else "filled_in"


class _Names(Visitor):
    """Relations without a schema, and the names that a statement itself introduces."""

    def __init__(self) -> None:
        super().__init__()
        self.bare: set[str] = set()
        self.local: set[str] = set()

    def visit_RangeVar(self, _: Any, node: Any) -> None:  # noqa: N802
        if node.schemaname is None:
            self.bare.add(node.relname)

    def visit_LockingClause(self, *_: Any) -> Any:  # noqa: N802
        return Skip  # it names what the statement has introduced

    def visit_CommonTableExpr(self, _: Any, node: Any) -> None:  # noqa: N802
        self.local.add(node.ctename)


class _Unqualified(Visitor):
    """Names whose meaning a search_path decides, in the order of their appearance."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def visit_FuncCall(self, _: Any, node: Any) -> None:  # noqa: N802
        self._look(node.funcname)

    def visit_A_Expr(self, _: Any, node: Any) -> None:  # noqa: N802
        self._look(
            node.name
        )  # that of IN, NULLIF, BETWEEN, IS DISTINCT FROM … too, which cannot be qualified

    def visit_SubLink(self, _: Any, node: Any) -> None:  # noqa: N802
        if node.operName is not None:
            self._look(node.operName)
        elif node.testexpr is not None:
            self.names.append("IN (SELECT …)")  # its = cannot be qualified

    def visit_SortBy(self, _: Any, node: Any) -> None:  # noqa: N802
        self._look(node.useOp or ())

    def visit_CollateClause(self, _: Any, node: Any) -> None:  # noqa: N802
        self._look(node.collname)

    def visit_TypeName(self, _: Any, node: Any) -> None:  # noqa: N802
        self._look(node.names)  # bigint and the like are words of the grammar, and come with pg_catalog

    def visit_CaseExpr(self, _: Any, node: Any) -> None:  # noqa: N802
        if node.arg is not None:
            self.names.append("CASE … WHEN")

    def visit_SelectStmt(self, _: Any, node: Any) -> None:  # noqa: N802
        if node.fromClause or node.groupClause or node.sortClause or node.distinctClause:
            self.names.append("FROM, GROUP BY, ORDER BY or DISTINCT")

    def _look(self, name: Any) -> None:
        if len(name) == 1:
            self.names.append(name[0].sval)


def main(root: Path) -> int:
    """Print what is wrong below `root`; the number of findings."""
    findings = [finding for path in sorted(root.rglob("*.sql")) for finding in check_file(root, path)]
    for finding in findings:
        print(finding)
    return len(findings)


def check_file(root: Path, path: Path) -> list[str]:
    """What is wrong with one file, each a line that begins with its name."""
    text = path.read_text(encoding="utf-8")
    name = f"sql/{path.relative_to(root)}"
    if path.parent.name == "queries":
        parts = sql.parse_queries(path.stem, text).items()
        return [f"{name}: {noun}: {what}" for noun, part in parts for what in check_query(part)]
    return [f"{name}: {what}" for what in check_script(text)]


def check_query(text: str) -> Iterator[str]:
    """What is wrong with a named statement."""
    try:
        statements = parse_sql(_FILLED_IN.sub(_example, text))
    except ParseError as error:
        yield f"does not parse: {error}"
        return
    if len(statements) != 1 and _PARAMETER.search(text):
        yield f"has parameters, but {len(statements)} statements"
    for raw in statements:
        yield from _bare_names(raw)


def check_script(text: str) -> Iterator[str]:
    """What is wrong with a migration or a file of the API."""
    try:
        statements = parse_sql(text)
    except ParseError as error:
        yield f"does not parse: {error}"
        return
    for raw in statements:
        begin, length = raw.stmt_location or 0, raw.stmt_len or len(text)
        source = text[begin : begin + length].strip()
        yield from (f"{_title(source)}: {what}" for what in _check_statement(raw, source))


def _check_statement(raw: Any, source: str) -> Iterator[str]:
    statement = raw.stmt
    if isinstance(statement, ast.TransactionStmt):
        yield "begins or ends a transaction"
    if isinstance(statement, ast.CreateFunctionStmt):
        yield from _check_security(statement, source)
    if isinstance(statement, ast.AlterFunctionStmt) and _is_definer(statement.actions):
        yield "makes a function SECURITY DEFINER where its body cannot be looked at: create it so"
    if isinstance(statement, ast.CreateFunctionStmt | ast.DoStmt):
        language, body = _language(statement)
        yield from _check_plpgsql(source) if language == "plpgsql" else _check_sql_body(body)
    yield from _bare_names(raw)


def _check_security(function: Any, source: str) -> Iterator[str]:
    options: list[tuple[str, Any]] = [(option.defname, option.arg) for option in function.options or ()]
    path = next((arg for name, arg in options if name == "set" and arg.name == "search_path"), None)
    last = path.args[-1].val.sval if path is not None and path.args else None
    if not _is_definer(function.options) or last == "pg_temp":
        return
    language, body = _language(function)
    what = "does not qualify its body" if path is not None or language != "plpgsql" else _open(source, body)
    if what:
        yield f"is SECURITY DEFINER without SET search_path = …, pg_temp, and {what}"


def _is_definer(options: Any) -> bool:
    return any(option.defname == "security" and option.arg.boolval for option in options or ())


def _open(source: str, body: str) -> str | None:
    """What a search_path decides in a PL/pgSQL function, or what keeps us from seeing it."""
    written = _BODY.fullmatch(source)
    if written is None or written[2] != body or "$$" in written[1]:
        return "is not written between $$"
    try:
        embedded = list(_embedded(_parsed(source)))
        tokens = [token for token in scan(body) if token.name not in ("SQL_COMMENT", "C_COMMENT")]
        names = [token.name for token in tokens]
        if "EXECUTE" in names:
            return "has EXECUTE"
        begin = names.index("BEGIN_P")
        if "DECLARE" in names[begin:]:
            return "has a DECLARE within"
        texts = [_types(body, tokens[:begin]), *(_as_statement(*part) for part in embedded)]
        parts = [parse_sql(text) for text in texts]
    except ParseError as error:
        return f"has what cannot be looked at: {error}"
    found = _Unqualified()
    for part in parts:
        found(part)
    return f"does not qualify {found.names[0]}" if found.names else None


def _types(body: str, section: list[Token]) -> str:
    """A statement with the types of a function's variables: PL/pgSQL's parser does not tell their schemas."""
    found: list[str] = []
    names = [token.name for token in section]
    declared = section[names.index("DECLARE") + 1 :] if "DECLARE" in names else []
    while declared:
        end = next((i for i, token in enumerate(declared) if token.name == "ASCII_59"), len(declared))
        variable, declared = declared[1:end], declared[end + 1 :]  # without its name
        if variable and body[variable[0].start : variable[0].end + 1].upper() == "CONSTANT":
            variable = variable[1:]
        end = next((i for i, token in enumerate(variable) if token.name in _AFTER_TYPE), len(variable))
        if variable[:end]:
            found.append(f"NULL::{body[variable[0].start : variable[end - 1].end + 1]}")
    return f"SELECT {', '.join(found)}"


def _language(statement: Any) -> tuple[str, str]:
    """The language of a function or DO block, and its body where it is a string."""
    given: Any = statement.options if isinstance(statement, ast.CreateFunctionStmt) else statement.args
    options = {option.defname: option.arg for option in given or ()}
    language, body = options.get("language"), options.get("as")
    text = body[0].sval if isinstance(body, tuple) else ""
    return language.sval if language is not None else "plpgsql", text


def _check_sql_body(body: str) -> Iterator[str]:
    try:
        yield from _bare_names(parse_sql(body))
    except ParseError as error:
        yield f"its body does not parse: {error}"


def _parsed(source: str) -> Any:
    header, quote, body = source.partition("$$")
    declarations, begin, code = body.partition("BEGIN")
    return parse_plpgsql(_TYPE.sub("text", header) + quote + _TYPE.sub("record", declarations) + begin + code)


def _check_plpgsql(source: str) -> Iterator[str]:
    try:
        tree = _parsed(source)
    except ParseError as error:
        yield f"its body does not parse: {error}"
        return
    for part, mode in _embedded(tree):
        try:
            yield from _bare_names(parse_sql(_as_statement(part, mode)))
        except ParseError as error:
            yield f"{part!r} does not parse: {error}"


def _as_statement(part: str, mode: int) -> str:
    if mode == _STATEMENT:
        return part
    return f"SELECT {part if mode == _EXPRESSION else part.partition('=')[2]}"


def _embedded(tree: Any) -> Iterator[tuple[str, int]]:
    """Text and parse mode of every statement and expression in a parsed body."""
    if isinstance(tree, list):
        for item in tree:
            yield from _embedded(item)
    elif isinstance(tree, dict):
        if "PLpgSQL_expr" in tree:
            yield tree["PLpgSQL_expr"]["query"], tree["PLpgSQL_expr"].get("parseMode", 0)
        for item in tree.values():
            yield from _embedded(item)


def _bare_names(tree: Any) -> Iterator[str]:
    names = _Names()
    names(tree)
    # The catalog is always found first.
    bare = {name for name in names.bare - names.local - _transitions() if not name.startswith("pg_")}
    yield from (f"names {name!r} without its schema" for name in sorted(bare))


@cache
def _transitions() -> frozenset[str]:
    texts = [text for _, text in sql.api()] + [migration.text for migration in sql.migrations()]
    return frozenset(name for text in texts for name in _TRANSITION.findall(text))


def _title(source: str) -> str:
    code = [line for line in source.splitlines() if line.strip() and not line.lstrip().startswith("--")]
    return code[0][:70] if code else source[:70]


if __name__ == "__main__":
    sys.exit(1 if main(sql.share("sql")) else 0)
