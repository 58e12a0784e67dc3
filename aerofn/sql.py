"""The SQL of AeroFn: migrations, the API of schema `aerofn`, and the named statements the service runs.

A wheel carries the files in `aerofn/_share/`; a checkout (editable install) has them beside the package.
"""

import hashlib
import re
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

_PACKAGE = Path(__file__).resolve().parent
_NAME_LINE = re.compile(r"^--\s*name:\s*([a-z_][a-z0-9_]*)\s*$", re.MULTILINE)
_MIGRATION_FILE = re.compile(r"^(\d{4})_([a-z0-9_]+)\.sql$")


class Migration(NamedTuple):
    """One step of the schema; `checksum` is the SHA-256 of its text, in hex."""

    version: int
    name: str
    text: str
    checksum: str


class Queries:
    """The named statements of one file of `sql/queries`, as attributes: `queries("events").lease`."""

    def __init__(self, noun: str, statements: dict[str, str]) -> None:
        self._noun = noun
        self._statements = statements

    def __getattr__(self, name: str) -> str:
        try:
            return self._statements[name]
        except KeyError:
            known = ", ".join(sorted(self._statements))
            raise AttributeError(
                f"sql/queries/{self._noun}.sql has no statement {name!r}; it has: {known}"
            ) from None

    def __contains__(self, name: str) -> bool:
        return name in self._statements

    def __dir__(self) -> list[str]:
        return sorted(self._statements)


def share(name: str) -> Path:
    """The directory `sql`, `wit` or `examples`, from the wheel or else from the checkout.

    Raises:
        FileNotFoundError: the installation carries neither.
    """
    for path in (_PACKAGE / "_share" / name, _PACKAGE.parent / name):
        if path.is_dir():
            return path
    raise FileNotFoundError(f"this installation of AeroFn has no {name!r} directory: install it again")


def text(name: str) -> str:
    """One file below `sql/`, such as `harden.sql`."""
    return (share("sql") / name).read_text(encoding="utf-8")


@cache
def queries(noun: str) -> Queries:
    """The statements of `sql/queries/<noun>.sql`, each introduced by a line `-- name: <statement>`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a name comes twice, or SQL stands before the first name.
    """
    return Queries(noun, parse_queries(noun, text(f"queries/{noun}.sql")))


def parse_queries(noun: str, content: str) -> dict[str, str]:
    """The named statements in the text of `sql/queries/<noun>.sql`; raises as `queries` does."""
    before, *rest = _NAME_LINE.split(content)
    if _without_comments(before):
        raise ValueError(f"sql/queries/{noun}.sql has SQL before its first `-- name:` line")
    statements: dict[str, str] = {}
    for name, body in zip(rest[::2], rest[1::2], strict=True):
        if name in statements:
            raise ValueError(f"sql/queries/{noun}.sql has two statements named {name!r}")
        statements[name] = _without_comments(body)
    return statements


def migrations() -> list[Migration]:
    """All of `sql/migrations`, oldest first.

    Raises:
        ValueError: a file is not called `NNNN_name.sql`, or two have the same number.
    """
    found = [_migration(path) for path in (share("sql") / "migrations").glob("*.sql")]
    found.sort()
    for one, other in pairwise(found):
        if one.version == other.version:
            raise ValueError(f"two migrations are numbered {one.version:04}: {one.name} and {other.name}")
    return found


def api() -> list[tuple[str, str]]:
    """Name and text of every file of `sql/api`, in the order they are applied (by name)."""
    files = sorted((share("sql") / "api").glob("*.sql"), key=lambda path: path.name)
    return [(path.name, path.read_text(encoding="utf-8")) for path in files]


def checksum(content: str) -> str:
    """SHA-256 of `content` in hex; the same whatever line ends a checkout made."""
    return hashlib.sha256(content.replace("\r\n", "\n").encode()).hexdigest()


def _migration(path: Path) -> Migration:
    match = _MIGRATION_FILE.match(path.name)
    if match is None:
        raise ValueError(f"sql/migrations/{path.name} is not called NNNN_name.sql")
    content = path.read_text(encoding="utf-8")
    return Migration(int(match[1]), match[2], content, checksum(content))


def _without_comments(body: str) -> str:
    # Only the lines before the statement are its documentation; a comment inside it is sent along.
    lines = body.strip().splitlines()
    while lines and (not lines[0].strip() or lines[0].lstrip().startswith("--")):
        lines.pop(0)
    return "\n".join(lines).rstrip().rstrip(";")
