"""`db.query`: SQL as the function's caller, in the invocation's one transaction."""

from collections.abc import Generator, Iterator, Sequence
from typing import Any, overload

from aerofn import _host, _json

Row = dict[str, Any]


class PgError(Exception):
    """What PostgreSQL reported.

    `code` is the SQLSTATE; `detail`, `hint`, `constraint`, `schema`, `table` and `column` are None where the
    report had none.
    """

    def __init__(self, fields: dict[str, Any]) -> None:
        super().__init__(fields.get("message", "the query failed"))
        self.code: str | None = fields.get("code")
        self.message: str = fields.get("message", "the query failed")
        self.detail: str | None = fields.get("detail")
        self.hint: str | None = fields.get("hint")
        self.constraint: str | None = fields.get("constraint")
        self.schema: str | None = fields.get("schema")
        self.table: str | None = fields.get("table")
        self.column: str | None = fields.get("column")


class Result(Sequence[Row]):
    """A list of its rows: `[user] = db.query(…)`, `for row in db.query(…)`, `db.query(…)[0]`.

    `row_count` counts the rows that the statement returned or changed. May be awaited, and is there already.
    """

    def __init__(self, rows: list[Row], row_count: int) -> None:
        self.rows = rows
        self.row_count = row_count

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> list[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | list[Row]:
        return self.rows[index]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __await__(self) -> Generator[None, None, "Result"]:
        yield from ()  # a host call suspends the whole sandbox: there is nothing to wait for
        return self

    def __repr__(self) -> str:
        return f"Result({self.rows!r}, row_count={self.row_count})"


def query(sql: str, params: Sequence[Any] = ()) -> Result:
    """Run one statement with its parameters `$1`, `$2` …

    Raises:
        PgError: it failed; the statement's own effects are undone, the transaction goes on.
    """
    if isinstance(params, str | bytes) or not isinstance(params, Sequence):
        raise TypeError("db.query(sql, params): params must be a list, as in [id]")
    try:
        answer = _json.parse(_host.query(sql, _json.dump_parameters(params)))
    except _host.Err as error:
        raise _report(error.value) from None
    return Result(answer["rows"], answer["rowCount"])


def _report(text: str) -> PgError:
    try:
        return PgError(_json.parse(text))
    except ValueError:
        return PgError({"message": text})
