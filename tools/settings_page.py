"""Writes docs/settings.md from `aerofn.settings.Settings`: `python -m tools.settings_page`. A test compares them."""

import ast
from itertools import pairwise
from pathlib import Path

import msgspec

from aerofn import settings

PAGE = Path(__file__).resolve().parents[1] / "docs" / "settings.md"
HEAD = """# Settings

Read from the environment at start: each is `AEROFN_` and its name in upper case; the database also from
`DATABASE_URL`. An unknown `AEROFN_*` variable is an error, so that a misspelt limit never goes unnoticed.
Variables `AEROFN_ENV_*` are for functions: `AEROFN_ENV_GREETING` is what a function registered with
`env => '{GREETING}'` reads as `env.GREETING`. The tools also know `AEROFN_URL` and `AEROFN_TOKEN` (`aerofn deploy`,
`aerofn invoke`) and `AEROFN_TOOLCHAIN_DIR` (`aerofn build`).

This page is written by `python -m tools.settings_page`.

| variable | default | meaning |
|---|---|---|
"""


def page() -> str:
    """The page's text."""
    rows = []
    meanings = _meanings()
    for field in msgspec.structs.fields(settings.Settings):
        default = "none" if field.default is None else _shown(field.default)
        if field.required:
            default = "required"
        rows.append(f"| `AEROFN_{field.name.upper()}` | {default} | {meanings[field.name]} |\n")
    return HEAD + "".join(rows)


def _meanings() -> dict[str, str]:
    """The string below each field, which is its documentation."""
    tree = ast.parse(Path(settings.__file__).read_text(encoding="utf-8"))
    (body,) = (node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Settings")
    meanings = {}
    for field, below in pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            assert isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant), field.target.id
            meanings[field.target.id] = " ".join(str(below.value.value).split())
    return meanings


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return f"`{','.join(str(part) for part in value)}`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
