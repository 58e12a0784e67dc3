"""Judges one SQL text of a guest: is it one plain data statement, and how must the executor run it?

This runs pglast, whose parser can be made to crash by hostile text: only the guard's child process calls it.
It is the second layer. What a guest may do is decided by PostgreSQL: the role, RLS and the sealed executor.
"""

from collections.abc import Iterator
from typing import Any

import msgspec
from pglast import ast
from pglast.parser import ParseError, parse_sql, scan

MAX_BYTES = 16 * 1024
MAX_PARAMETER = 1000

# Functions that reach past a statement: settings, other sessions, locks, files, or SQL in a string.
DENIED = frozenset(
    {
        # settings and sessions
        "set_config", "setseed", "pg_cancel_backend", "pg_terminate_backend", "pg_prepared_statement",
        "pg_cursor", "pg_export_snapshot", "pg_show_all_settings", "pg_reload_conf", "pg_rotate_logfile",
        # talking past the transaction
        "pg_notify", "pg_listening_channels", "pg_logical_emit_message", "pg_sleep", "pg_sleep_for",
        "pg_sleep_until",
        # SQL in a string
        "ts_stat", "connectby", "crosstab", "crosstabn", "dblink", "dblink_exec", "dblink_connect",
        "dblink_connect_u", "dblink_open", "dblink_fetch", "dblink_send_query",
        # files and large objects
        "loread", "lowrite", "pg_read_file", "pg_read_binary_file", "pg_ls_dir", "pg_stat_file",
        "pg_current_logfile",
        # other sessions' queries
        "pg_stat_statements", "pg_stat_statements_reset",
    }
)  # fmt: skip
DENIED_PREFIXES = (
    "pg_advisory_",
    "pg_try_advisory_",
    "lo_",
    "pg_stat_get_",
    "pg_replication_",
    "pg_logical_",
    # PostgreSQL 18: writing a table's statistics, for whoever was granted MAINTAIN on it
    "pg_clear_",
    "pg_restore_",
)
DENIED_TO_XML = ("query_to_xml", "cursor_to_xml", "table_to_xml", "schema_to_xml", "database_to_xml")
SYSTEM_SCHEMAS = frozenset(
    {"pg_catalog", "pg_toast", "information_schema", "aerofn_internal", "aerofn_auth", "aerofn_run"}
)

DATA_STATEMENTS = (ast.SelectStmt, ast.InsertStmt, ast.UpdateStmt, ast.DeleteStmt, ast.MergeStmt)


# Functions that leave nothing on a connection, neither settings nor locks nor state of a sequence. What is not
# here may: a statement that calls it is the last of a transaction that events share.
PLAIN = frozenset(
    {
        "abs", "age", "array_agg", "array_append", "array_cat", "array_length", "array_position",
        "array_prepend", "array_remove", "array_replace", "array_to_json", "array_to_string", "avg",
        "bool_and", "bool_or", "btrim", "cardinality", "ceil", "ceiling", "char_length",
        "clock_timestamp", "concat", "concat_ws", "count", "date", "date_bin", "date_part", "date_trunc",
        "decode", "dense_rank", "div", "encode", "every", "exp", "extract", "first_value", "floor",
        "format", "gen_random_uuid", "generate_series", "generate_subscripts", "initcap", "invoke",
        "json_agg", "json_array_elements", "json_array_elements_text", "json_array_length",
        "json_build_array", "json_build_object", "json_each", "json_each_text", "json_object",
        "json_object_agg", "json_populate_record", "json_populate_recordset", "json_strip_nulls",
        "json_to_record", "json_to_recordset", "json_typeof", "jsonb_agg", "jsonb_array_elements",
        "jsonb_array_elements_text", "jsonb_array_length", "jsonb_build_array", "jsonb_build_object",
        "jsonb_each", "jsonb_each_text", "jsonb_insert", "jsonb_object", "jsonb_object_agg",
        "jsonb_object_keys", "jsonb_path_exists", "jsonb_path_query", "jsonb_path_query_array",
        "jsonb_path_query_first", "jsonb_populate_record", "jsonb_populate_recordset", "jsonb_set",
        "jsonb_strip_nulls", "jsonb_to_record", "jsonb_to_recordset", "jsonb_typeof", "jwt", "lag",
        "last_value", "lead", "left", "length", "like_escape", "ln", "log", "lower", "lpad", "ltrim",
        "make_date", "make_interval", "make_time", "make_timestamp", "make_timestamptz", "max", "md5",
        "min", "mod", "now", "nth_value", "ntile", "octet_length", "overlay", "percentile_cont",
        "percentile_disc", "plainto_tsquery", "position", "power", "rank", "regexp_match",
        "regexp_matches", "regexp_replace", "regexp_split_to_array", "repeat", "replace", "reverse",
        "right", "role", "round", "row_number", "row_to_json", "rpad", "rtrim", "sha256", "sha512",
        "sign", "split_part", "sqrt", "starts_with", "statement_timestamp", "string_agg",
        "string_to_array", "strpos", "substr", "substring", "sum", "timezone", "to_char", "to_date",
        "to_json", "to_jsonb", "to_number", "to_timestamp", "to_tsquery", "to_tsvector",
        "transaction_timestamp", "translate", "trunc", "ts_rank", "uid", "unnest", "upper",
        "websearch_to_tsquery",
    }
)  # fmt: skip
PLAIN_SCHEMAS = frozenset({"pg_catalog", "aerofn", "auth"})


class Verdict(msgspec.Struct, frozen=True):
    """What the guard makes of a text.

    `refusal` says why it may not run. Otherwise `kind` is how the executor runs it (`rows` if it
    returns any, else `count`), and the text is `pieces` joined by the parameters `numbers`, counted from 1.
    `plain`: by itself it leaves nothing on the connection but its effects on tables.
    """

    kind: str = ""
    pieces: tuple[str, ...] = ()
    numbers: tuple[int, ...] = ()
    refusal: str | None = None
    code: str = "42501"
    plain: bool = False

    @property
    def text(self) -> str:
        """The statement with its parameters as `$n`."""
        return self.with_parameters([f"${n}" for n in range(1, max(self.numbers, default=0) + 1)])

    def with_parameters(self, expressions: list[str]) -> str:
        """The statement with `expressions[n - 1]` for `$n`."""
        parts = [self.pieces[0]]
        for number, piece in zip(self.numbers, self.pieces[1:], strict=True):
            parts += (expressions[number - 1], piece)
        return "".join(parts)


def judge(text: str) -> Verdict:
    """The verdict over `text`; fails closed."""
    if len(text.encode()) > MAX_BYTES:
        return Verdict(refusal=f"a statement may have {MAX_BYTES} bytes at the most", code="54000")
    if "\0" in text:
        return Verdict(refusal="a statement may not contain NUL", code="22021")
    try:
        statements = parse_sql(text)
    except ParseError as error:
        return Verdict(refusal=str(error.args[0]), code="42601")
    if len(statements) != 1:
        return Verdict(refusal=f"one statement at a time: this text has {len(statements)}", code="42601")
    statement = statements[0].stmt
    refusal = _refusal(statement)
    return Verdict(refusal=refusal) if refusal else _split(text, _kind(statement), _is_plain(statement))


def _refusal(statement: Any) -> str | None:
    if not isinstance(statement, DATA_STATEMENTS):
        return "only SELECT, INSERT, UPDATE, DELETE, MERGE and VALUES may run in a function"
    for node in _nodes(statement):
        if isinstance(node, ast.SelectStmt) and node.intoClause is not None:
            return "SELECT INTO makes a table; use INSERT … SELECT"
        if isinstance(node, ast.RangeVar) and _is_system(node):
            return f"relation {node.relname} belongs to the system"
        if isinstance(node, ast.FuncCall | ast.A_Indirection | ast.ColumnRef):
            name = _called(node)
            if name is not None and _is_denied(name):
                return f"function {name} may not be called here"
        if isinstance(node, ast.ParamRef) and (node.number or 0) > MAX_PARAMETER:
            return f"parameters are numbered up to ${MAX_PARAMETER}"
    return None


def _is_system(table: Any) -> bool:
    if table.schemaname is not None:
        return table.schemaname in SYSTEM_SCHEMAS
    return bool(table.relname.startswith("pg_"))


def _called(node: Any) -> str | None:
    """The name a node may call as a function: `f(x)`, and in column notation `(x).f` and `x.f`."""
    if isinstance(node, ast.FuncCall):
        path = node.funcname
    else:
        path = node.indirection if isinstance(node, ast.A_Indirection) else node.fields
    last = path[-1] if path else None
    return last.sval if isinstance(last, ast.String) else None


def _is_denied(name: str) -> bool:
    return name in DENIED or name.startswith(DENIED_PREFIXES) or name.startswith(DENIED_TO_XML)


def _is_plain(statement: Any) -> bool:
    return all(_leaves_nothing(node) for node in _nodes(statement))


def _leaves_nothing(node: Any) -> bool:
    if isinstance(node, ast.A_Indirection):  # (x).name may be name(x)
        return _called(node) in (None, *PLAIN)
    if not isinstance(node, ast.FuncCall):
        return True
    path: Any = node.funcname
    *schema, name = (part.sval for part in path)
    return name in PLAIN and (not schema or schema[0] in PLAIN_SCHEMAS)


def _kind(statement: Any) -> str:
    if isinstance(statement, ast.SelectStmt):
        return "rows"
    # PostgreSQL names the list of RETURNING differently by statement and version.
    returning = getattr(statement, "returningClause", None) or getattr(statement, "returningList", None)
    return "rows" if returning else "count"


def _nodes(root: Any) -> Iterator[Any]:
    """Every node of the tree, without recursion: hostile text can nest deep."""
    waiting: list[Any] = [root]
    while waiting:
        thing = waiting.pop()
        if isinstance(thing, ast.Node):
            yield thing
            waiting.extend(value for name in thing if (value := getattr(thing, name)) is not None)
        elif isinstance(thing, tuple):
            waiting.extend(thing)


def _split(text: str, kind: str, plain: bool) -> Verdict:
    pieces, numbers, start, end = [], [], 0, len(text)
    for token in scan(text):
        if token.name == "PARAM":
            pieces.append(text[start : token.start])
            numbers.append(int(text[token.start + 1 : token.end + 1]))
            start = token.end + 1
        elif token.name == "ASCII_59":  # the semicolon after the only statement
            end = token.start
            break
    pieces.append(text[start:end])
    return Verdict(kind, tuple(pieces), tuple(numbers), plain=plain)
