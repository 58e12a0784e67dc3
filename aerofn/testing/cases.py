"""Test cases in TOML, for functions in any language: `NAME.test.toml`, run by `aerofn test` and by pytest.

They say what is there before, what happens, and what is there after. A file of JavaScript tests would have to run
inside the sandbox or pretend to be it; SQL and JSON are what a function's author writes anyway.

    function = "count-words"

    [[case]]
    name = "a new note is counted"
    row = "INSERT INTO notes (body) VALUES ('the quick brown fox') RETURNING *"
    result = { words = 4 }
    logs = ["has 4 words"]
    after = [{ query = "SELECT words FROM notes", rows = [{ words = 4 }] }]
"""

import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec

from aerofn.errors import SettingsError
from aerofn.testing.bench import Bench, Db, Runnable
from aerofn.testing.result import Result

SUFFIX = ".test.toml"


class After(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a query must give when the function is done."""

    query: str
    rows: list[Any]


class Fetch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a request to `url` is answered."""

    url: str
    status: int = 200
    headers: dict[str, str] = {}
    body: Any = ""


class Case(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One case.

    What happens is one of: `row`, the statement with RETURNING whose row the function is given; `record` (with
    `old_record` for an update); `body` of an HTTP request; `payload`. What must come of it: `result` or `error`
    (a part of its text); `logs` and `fetches` in their order, each log a part of the line, each fetch a URL;
    `after`. What is left out is not looked at.
    """

    name: str
    function: str = ""
    given: str = ""
    row: str | None = None
    record: dict[str, Any] | None = None
    old_record: dict[str, Any] | None = None
    table: str | None = None
    body: Any = None
    payload: Any = None
    role: str | None = None
    claims: dict[str, Any] = {}
    env: dict[str, str] = {}
    answers: list[Fetch] = []
    result: Any = msgspec.UNSET
    error: str | None = None
    logs: list[str] | None = None
    fetches: list[str] | None = None
    after: list[After] = []

    def run(self, bench: Bench) -> Result:
        """Run it, in a transaction of its own.

        Raises:
            AssertionError: something else came of it; says what.
            AeroFnError: it cannot be run as it stands.
        """
        with bench.trial() as db:
            if self.given:
                db.execute(self.given)
            result = self._happen(db, Runnable(bench, db, self.function))
            self._check(result)
            for look in self.after:
                _equal(look.query, db.rows(look.query), look.rows)
        return result

    def _happen(self, db: Db, function: Runnable) -> Result:
        answers = {answer.url: msgspec.to_builtins(answer) for answer in self.answers}
        options: dict[str, Any] = {
            "role": self.role,
            "claims": self.claims,
            "env": self.env,
            "fetches": answers,
        }
        if self.row is not None:
            return function.row(db.row(self.row), table=self.table, **options)
        if self.record is not None or self.old_record is not None:
            return function.row(self.record, self.old_record, table=self.table, **options)
        if self.payload is not None:
            return function.invoke(self.payload, **options)
        return function.http(self.body, **options)

    def _check(self, result: Result) -> None:
        if self.error is None:
            value = result.value  # raises if it failed
            if self.result is not msgspec.UNSET:
                _equal("the result", value, self.result)
        elif result.error is None:
            raise AssertionError(f"expected an error with {self.error!r}, it returned {result.value!r}")
        elif self.error not in f"{result.error.name}: {result.error.message}":
            raise AssertionError(f"expected an error with {self.error!r}, it was: {result.told}")
        if self.logs is not None:
            _in_order("logs", result.logs, self.logs)
        if self.fetches is not None:
            _equal("the requests' URLs", [request["url"] for request in result.fetches], self.fetches)


def _equal(what: str, found: Any, expected: Any) -> None:
    if found != expected:
        raise AssertionError(f"{what}\n  expected: {expected!r}\n  found:    {found!r}")


def _in_order(what: str, found: list[str], expected: list[str]) -> None:
    if len(found) != len(expected) or any(
        part not in line for part, line in zip(expected, found, strict=True)
    ):
        _equal(what, found, expected)


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    case: list[Case]
    function: str = ""


def read_cases(file: Path) -> list[Case]:
    """The cases of a file.

    Raises:
        SettingsError: it says something else than it may; names the key or the line.
    """
    try:
        read = msgspec.convert(tomllib.loads(file.read_text(encoding="utf-8")), _File)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file} is not valid TOML: {error}") from None
    except msgspec.ValidationError as error:
        raise SettingsError(f"{file}: {error}", hint="all keys are in docs/testing.md") from None
    cases = [
        case if case.function else msgspec.structs.replace(case, function=read.function) for case in read.case
    ]
    for case in cases:
        if not case.function:
            raise SettingsError(f"{file}: case {case.name!r} names no function", hint='add: function = "…"')
    return cases


def find_cases(where: Path) -> list[Path]:
    """The files with cases: `where` itself, or all below it, but for hidden folders and node_modules."""
    if where.is_file():
        return [where]
    hidden = re.compile(r"(^|/)(\.|node_modules/)")
    found = (path for path in sorted(where.rglob(f"*{SUFFIX}")) if path.is_file())
    return [path for path in found if not hidden.search(str(path.relative_to(where)))]
