"""What is random in a Python guest: no two invocations share a seed, and every table is laid out by the new one."""

from pathlib import Path

import build_hashseed
import pytest

from aerofn.build import build
from aerofn.model import Outcome
from tests.build.conftest import FUNCTIONS, Call, FakeHost, Functions, output

pytest.importorskip("componentize_py")
pytestmark = pytest.mark.timeout(300)  # a build takes some 20 seconds, more beside others
SOURCE = FUNCTIONS / "python" / "seeds.py"
ALL_OF_THE_LIBRARY = """
import argparse, ast, asyncio, base64, bisect, calendar, cmath, codecs, collections.abc, colorsys, configparser
import contextvars, copy, csv, datetime, decimal, difflib, dis, email.message, email.policy, enum, fractions, gettext
import graphlib, hashlib, heapq, hmac, html.parser, http.client, http.cookies, inspect, ipaddress, itertools, json
import locale, logging.config, logging.handlers, mimetypes, numbers, operator, pathlib, pickle, pprint, queue, random
import re, sched, secrets, shelve, shlex, sqlite3, statistics, string, string.templatelib, struct, symtable, tarfile
import tempfile, textwrap, timeit, tokenize, tomllib, traceback, types, typing, unicodedata, unittest.mock, urllib.parse
import urllib.request, uuid, warnings, weakref, xml.dom.minidom, xml.etree.ElementTree, xml.sax, zipfile, zlib, zoneinfo
from typing import *
"""
EARLY = """
from aerofn import db


class Early:
    def __hash__(self):
        if ready:
            db.query("select 1")
        return 1


ready = False
keys = {Early(): 1}
ready = True


def handler(payload):
    return "ran"
"""


@pytest.fixture
def seeds(functions: Functions) -> Call:
    """The cases of functions/python/seeds.py."""
    return Call(functions, SOURCE)


async def test_no_two_invocations_share_a_seed(seeds: Call) -> None:
    runs = [output(await seeds("seeds")) for _ in range(5)]
    for name in ("interned", "text", "bytes", "generator"):
        assert len({run[name] for run in runs}) == 5, name
    assert len({tuple(run["order"]) for run in runs}) > 1
    assert len({run["fixed"] for run in runs}) == 1  # its author gave it a seed


async def test_all_that_the_top_level_made_is_found_under_the_new_seed(seeds: Call) -> None:
    assert [output(await seeds("wrong")) for _ in range(3)] == [[], [], []]


async def test_the_whole_heap_is_of_one_seed(seeds: Call) -> None:
    found = output(await seeds("everything"))
    assert found["wrong"] == []
    assert min(found["kinds"].values()) > 100


async def test_the_whole_library_is_of_one_seed(functions: Functions, tmp_path: Path) -> None:
    source = tmp_path / "library.py"
    source.write_text(ALL_OF_THE_LIBRARY + SOURCE.read_text())
    library = Call(functions, source)
    assert output(await library("everything"))["wrong"] == []
    assert output(await library("wrong")) == []


async def test_a_handler_in_async_python_has_one_too(functions: Functions, tmp_path: Path) -> None:
    source = tmp_path / "later.py"
    source.write_text("async def handler(payload):\n    return str(hash('some text'))\n")
    component = await functions.load(source)
    runs = [output(await functions.run(component, {"trigger": "invoke", "payload": {}})) for _ in range(3)]
    assert len(set(runs)) == 3


KEEPERS = """
KINDS = (pathlib.PurePosixPath, Keeping, Early, Cached, Slotted, InNew, Summed, OfAnother, InTuple, ByProperty)
KEYS = {kind("a b"): 1 for kind in KINDS}
"""
TOP_LEVELS = {
    "objects that keep their hash": (
        KEEPERS,
        "the top level makes objects that keep their hash"
        " (keeping.ByProperty, keeping.Cached, keeping.Early and 7 more)",
    ),
    "hashes themselves": (
        "KEYS = {hash('a b'): 1}",
        "the top level asks hash() of something (fn.py, <module>), and may keep what it says",
    ),
    "a set that is gone through": (
        "KEYS = {'a b', 'c d'}\nGOING = iter(KEYS)\nnext(GOING)",
        "the top level has begun to go through a set",
    ),
    "a hash that is refused later": (
        "KEYS = {Fickle(): 1}\nFickle.broken = True",
        "the hash of an object of the top level cannot be had again",
    ),
    "a hash that changes its own table": (
        "KEYS = {}\nKEYS.update((Greedy(KEYS), n) for n in range(2))\nGreedy.hungry = True",
        None,
    ),
    "objects that could keep it and have not, and numbers": (
        "PATH, KEEPING = pathlib.PurePosixPath('a b'), Keeping('a b')\n"
        "KEYS = {Numbered(7): 1, hash(7): 2, Commit('abc', 3): 3}",
        None,
    ),
    "what its author wants so": (f"{KEEPERS}\nKEEP_HASH_SEED = True", None),
}
KEEPING = """
import functools
import pathlib


class Keeping:
    def __init__(self, text):
        self.text, self._hash = text, None

    def __hash__(self):
        if self._hash is None:
            self._hash = hash(self.text)
        return self._hash


class Early:
    def __init__(self, text):
        self.value = hash(text)

    def __hash__(self):
        return self.value


class Cached:
    def __init__(self, text):
        self.text = text

    @functools.cached_property
    def _once(self):
        return hash(self.text)

    def __hash__(self):
        return self._once


class Slotted:
    __slots__ = ("_kept", "text")

    def __init__(self, text):
        object.__setattr__(self, "text", text)

    def __setattr__(self, name, value):
        raise AttributeError(name)

    def __hash__(self):
        try:
            return self._kept
        except AttributeError:
            object.__setattr__(self, "_kept", hash(self.text))
            return self._kept


class InNew:
    def __new__(cls, text):
        self = super().__new__(cls)
        self._hash = hash(text)
        return self

    def __hash__(self):
        return self._hash


class Summed:
    def __init__(self, text):
        self.text, self.kept = text, None

    def __hash__(self):
        if self.kept is None:
            self.kept = sum(hash(letter) for letter in self.text)
        return self.kept


class OfAnother:
    def __init__(self, text):
        self.kept = text.__hash__()

    def __hash__(self):
        return self.kept


class InTuple:
    def __init__(self, text):
        self.key = (hash(text), text)

    def __hash__(self):
        return self.key[0]


class ByProperty:
    def __init__(self, text):
        self.text, self.kept = text, None

    @property
    def once(self):
        self.kept = self.kept or hash(self.text)
        return self.kept

    def __hash__(self):
        return self.once


class Fickle:
    broken = False

    def __hash__(self):
        if Fickle.broken:
            Fickle.broken = False
            raise ValueError("no hash")
        return hash("a b")


class Greedy:
    hungry = False

    def __init__(self, table):
        self.table = table

    def __hash__(self):
        if Greedy.hungry and len(self.table) < 200:
            self.table.update((str(len(self.table)), n) for n in range(100))
        return hash("greedy one")


class Commit:
    def __init__(self, hash, size):
        self.hash, self.size = hash, size

    def __hash__(self):
        return hash((self.hash, self.size))


class Numbered:
    def __init__(self, number):
        self.number = number

    def __hash__(self):
        return self.number
"""


@pytest.mark.parametrize(("top_level", "warning"), TOP_LEVELS.values(), ids=TOP_LEVELS)
async def test_where_the_top_level_keeps_hashes_the_seed_stays_and_the_build_says_so(
    functions: Functions, tmp_path: Path, top_level: str, warning: str | None
) -> None:
    (tmp_path / "keeping.py").write_text(KEEPING)
    source = tmp_path / "fn.py"
    source.write_text(
        f"from keeping import *\n\n\n{top_level}\n\n\ndef handler(payload):\n"
        "    return [str(hash('some text')), all(key in KEYS for key in list(KEYS))]\n"
    )
    built = [build(source, tmp_path / "fn.wasm") for _ in range(2)]  # the second one was kept
    assert built[0].warnings == built[1].warnings
    told = [warning.partition(", so all")[0] for warning in built[0].warnings]
    assert told == ([f"fn.py: {warning}"] if warning else [])
    component = await functions.load_bytes(built[1].output.read_bytes())
    runs = [output(await functions.run(component, {"trigger": "invoke", "payload": {}})) for _ in range(3)]
    stays = warning is not None or "KEEP_HASH_SEED" in top_level
    assert len({run[0] for run in runs}) == (1 if stays else 3)
    assert all(run[1] for run in runs)


def test_the_build_says_what_large_tables_cost(tmp_path: Path) -> None:
    source = tmp_path / "fn.py"
    source.write_text("TABLE = {str(n): n for n in range(150_000)}\n\n\ndef handler(payload): ...\n")
    [warning] = build(source).warnings
    assert warning.startswith("fn.py: the dicts and sets of the top level have 1")
    assert warning.endswith("KEEP_HASH_SEED = True saves that")


async def test_the_author_s_own_hash_cannot_reach_the_host_before_the_run(
    functions: Functions, tmp_path: Path
) -> None:
    source = tmp_path / "early.py"
    source.write_text(EARLY)
    host = FakeHost()
    run = await functions.run(await functions.load(source), {"trigger": "invoke", "payload": {}}, host)
    assert (run.outcome, run.output, host.queries) == (Outcome.SUCCESS, b'"ran"', [])


def test_the_module_is_what_its_source_gives(tmp_path: Path) -> None:
    pytest.importorskip("ziglang")
    build_hashseed.build(tmp_path / "module.so")
    assert (tmp_path / "module.so").read_bytes() == build_hashseed.MODULE.read_bytes()
