"""The page of limits says what the code has."""

import inspect
import re
from pathlib import Path

import msgspec
from aiohttp.http_parser import HttpParser

from aerofn import settings
from aerofn.bridge import journal, outgoing, verdict
from aerofn.bridge.egress import egress, request
from aerofn.dispatch import retry
from aerofn.model import LONGEST_TEXT
from aerofn.runtime import RuntimeConfig, names
from aerofn.runtime.config import WASM_STACK
from aerofn.runtime.wasi import MAX_RANDOM
from aerofn.web import connection, json_text
from aerofn.web.secrets import Setting

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "limits.md").read_text(encoding="utf-8")
SQL = ROOT / "sql" / "api"


def test_limits_are_the_settings_defaults():
    defaults = {
        f"AEROFN_{field.name.upper()}": field.default for field in msgspec.structs.fields(settings.Settings)
    }
    told = 0
    for line in PAGE.splitlines():
        if line.startswith("| requests made together"):
            continue  # made of it: compared below
        for setting in re.findall(r"AEROFN_[A-Z_]+", line)[:1]:
            value = re.match(r"[\d.]+", line.split("|")[2].strip())
            if value is not None:
                assert float(value[0]) == defaults[setting], line
                told += 1
    assert told > 20


def test_limits_without_a_setting_are_those_of_the_code():
    told = dict(re.findall(r"^\| (.+?) \| (.+?) \| \|$", PAGE, re.MULTILINE))
    del told["dead events"]  # they have no limit
    hardened = re.search(r"'temp_file_limit', '(\d+)MB'", (SQL / "80_harden.sql").read_text())
    name = re.search(r"name !~ '(.+?)'", (SQL / "30_functions.sql").read_text())
    longest_header = re.search(r"\{0,(\d+)\}", request._VALUE.pattern)
    longest_secret = re.search(r"BETWEEN (8) AND (\d+)", (SQL / "35_secrets.sql").read_text())
    assert hardened and name and longest_header and longest_secret
    assert name[1] == "^[A-Za-z][A-Za-z0-9_-]{0,62}$"
    (secret,) = (field.type.__metadata__[0] for field in msgspec.structs.fields(Setting))
    assert longest_secret.groups() == (str(secret.min_length), str(secret.max_length))
    assert retry._LONGEST_S == 3600
    of_service = {field.name: field.default for field in msgspec.structs.fields(settings.Settings)}
    sandboxed = {field.name: field.default for field in msgspec.structs.fields(RuntimeConfig)}
    together = outgoing.longest(of_service["fetch_max_mb"] << 20)
    assert sandboxed["max_request_bytes"] == together
    assert f"| {together >> 20} MB: four bodies and one more |" in PAGE
    of_answer = inspect.signature(HttpParser).parameters["max_headers"].default
    assert told == {
        "name": "a letter, then up to 62 letters, digits, `-` or `_`",
        "WebAssembly stack": f"{WASM_STACK >> 10} KiB",
        "random bytes by one call of WASI's": f"{MAX_RANDOM:,}",
        "length of a log line": f"{journal._LONGEST_LINE:,} characters, then it is cut",
        "message, stack and name of its error": f"{LONGEST_TEXT:,} characters each, then they are cut",
        "name of a function in a stack": f"{names.LONGEST_NAME} bytes, then it is cut",
        "components within components": f"{names.MAX_DEPTH} deep",
        "a secret": f"{secret.min_length} to {secret.max_length:,} bytes",
        "text of a statement": f"{verdict.MAX_BYTES >> 10} KiB",
        "a statement's text and parameters together": f"{sandboxed['max_query_bytes'] >> 20} MB",
        "parameters of a statement": f"{verdict.MAX_PARAMETER:,}",
        "temporary files, where the database is hardened": f"{hardened[1]} MB",
        "requests at the same time in an invocation": str(outgoing._MOST_AT_ONCE),
        "redirects": str(egress._MOST_REDIRECTS),
        "URL": f"{request._LONGEST_URL:,} characters",
        "headers of a request; of its answer": f"{request._MOST_HEADERS}; {of_answer}",
        "a header": f"{int(longest_header[1]) >> 10} KB",
        "pause before an attempt": f"{retry._FIRST_S:g} s, doubled each time, up to an hour; "
        "up to half of it is taken off at random",
        "path and headers": f"{connection._HEAD_BYTES >> 10} KiB, {connection._MOST_HEADERS} headers",
        "depth of nested JSON": f"{json_text.DEEPEST}, in a body and in a result",
    }  # fmt: skip
