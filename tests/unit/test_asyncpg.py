"""asyncpg's private parts that AeroFn uses: a new version has to be looked at before it is pinned."""

import inspect
import tomllib
from importlib.metadata import version
from pathlib import Path

import asyncpg
from packaging.requirements import Requirement

PROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"


def test_the_pin_is_exact_and_what_is_installed():
    wanted = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["dependencies"]
    (pin,) = [one for one in map(Requirement, wanted) if one.name == "asyncpg"]
    assert str(pin.specifier) == f"=={version('asyncpg')}", (
        "bridge/session.py calls _copy_out: look at it, then pin"
    )


def test_copy_out_is_as_the_session_calls_it():
    copy_out = asyncpg.Connection._copy_out
    assert inspect.iscoroutinefunction(copy_out)
    assert list(inspect.signature(copy_out).parameters) == ["self", "copy_stmt", "output", "timeout"]
