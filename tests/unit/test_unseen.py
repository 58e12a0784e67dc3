"""What users wrote does nothing to the terminal of who reads it, in no command and no log line."""

import io
import json
import re

import pytest
import structlog

from aerofn import observe
from aerofn.cli import logs, output
from aerofn.errors import AeroFnError
from aerofn.unseen import escaped, named

HOSTILE = "a\x1b[2J\x1b]0;title\x07\x9b31m\r\b\x7f\u202eexe.txt\u2066\u200b\U000e0041z"
UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u202e\u2066\U000e0041]")


def test_unseen_characters_are_named_and_others_stay():
    assert not UNSEEN.search(named(HOSTILE))
    assert named("a\x1bb\u202ec\x9bd") == "a␛b⟨RIGHT-TO-LEFT OVERRIDE⟩c⟨U+009B⟩d"
    for text in ("", "plain", "a\tb\nc", "שלום 你好", "\U0001f469\u200d\U0001f680"):
        assert named(text) == text


def test_json_stays_what_it_is():
    document = json.dumps({"a": HOSTILE, HOSTILE: [1, None]}, ensure_ascii=False)
    assert not UNSEEN.search(escaped(document))
    assert json.loads(escaped(document)) == {"a": HOSTILE, HOSTILE: [1, None]}


def record():
    return {
        "id": "1", "timestamp": output.datetime(2026, 1, 2).astimezone(), "function": HOSTILE,
        "version": 1, "trigger": HOSTILE, "event_id": 7, "attempt": 2, "status": HOSTILE,
        "duration_ms": 1.0, "error": {"stack": HOSTILE}, "reason": HOSTILE, "trace_id": HOSTILE,
        "logs": [{"level": HOSTILE, "message": HOSTILE + "\n" + HOSTILE, "at_ms": 1}],
    }  # fmt: skip


@pytest.mark.parametrize("as_json", [False, True])
def test_no_command_puts_them_out(capsys, as_json):
    rows = [{"name": HOSTILE, "list": [HOSTILE], "n": 1}]
    output.print_rows(rows, {"name": "n", "list": "l", "n": "#"}, as_json=as_json, nothing="")
    logs._print([record()], as_json=as_json)
    output.print_error(AeroFnError(HOSTILE, detail=HOSTILE, hint=HOSTILE))
    output.console().print(HOSTILE, style=output.BAD)
    said = capsys.readouterr()
    assert not UNSEEN.search(said.out + said.err)
    assert "z" in said.out


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_no_log_line_for_people_does(monkeypatch):
    terminal = Terminal()
    observe.configure_logging("info", terminal)
    log = structlog.get_logger("test")
    log.warning("cannot", error=HOSTILE, form={"a": HOSTILE})
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        log.exception("failed")
    observe.configure_logging("info")
    said = re.sub(r"\x1b\[[0-9;]*m", "", terminal.getvalue())  # its own colours
    assert "Traceback" in said
    assert not UNSEEN.search(said.replace("\\x1b", "")), said
