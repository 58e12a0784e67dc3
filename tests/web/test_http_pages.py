"""docs/http-api.md and docs/errors.md say what there is: each path, each code and its status, and nothing else."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from web_kit import Web

from aerofn import errors
from aerofn.errors import AeroFnError
from aerofn.settings import Settings

ROOT = Path(__file__).parents[2]
ERRORS = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
API = (ROOT / "docs" / "http-api.md").read_text(encoding="utf-8")
ROWS = {
    row[1]: (row[2], row[3])
    for row in re.finditer(r"^\| `(\w+)` \| (\S+) \| (yes|no) \|", ERRORS, re.MULTILINE)
}


def trees() -> list[ast.Module]:
    return [ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / "aerofn").rglob("*.py")]


def given_codes() -> Iterator[str]:
    """What is passed as `code=` anywhere: SQLSTATEs apart, they are PostgreSQL's."""
    for tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.keyword) and node.arg == "code" and isinstance(node.value, ast.Constant):
                yield node.value.value


def kinds() -> list[type[AeroFnError]]:
    found = [
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, AeroFnError)
    ]
    assert len(found) > 15
    return found


def test_every_code_has_a_row_with_its_status() -> None:
    for kind in kinds():
        assert kind.code in ROWS, kind
        if kind.code not in ("internal_error", "host_error"):  # also the codes of bases
            assert ROWS[kind.code] == (str(kind.status), "yes" if kind.retryable else "no"), kind
    named = {code for code in given_codes() if re.fullmatch("[a-z_]+", code)}
    assert {"function_not_found", "invalid_output"} <= named <= set(ROWS)


def test_every_row_is_a_code_that_is_given() -> None:
    literals = {node.value for tree in trees() for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    assert set(ROWS) <= literals


def test_every_path_is_described() -> None:
    paths = [re.sub(":[a-z]+", "", getattr(route, "path")) for route in Web().application().routes]  # noqa: B009
    assert len(paths) > 5
    assert [path for path in paths if f"`{path}`" not in API] == []


def test_the_settings_that_are_named_exist() -> None:
    named = set(re.findall(r"AEROFN_([A-Z_]+)", API + ERRORS))
    assert "MAX_BODY_MB" in named
    assert named <= {field.upper() for field in Settings.__struct_fields__}
