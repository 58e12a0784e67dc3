"""That what speaks with the build's Node takes nothing for an answer but the answer."""

import sys
from pathlib import Path

import pytest

from aerofn.build.node import Workshop
from aerofn.errors import InvalidRequest

# Answers each request with the next of its lines, and prints another answer before.
_FAKE = """#!{python} -SE
import os
for text in {answers!r}:
    while not os.read(0, 1 << 16).endswith(b"\\n"):
        pass
    os.write(1, b'{{"id": 1, "ok": {{"from": "a dependency"}}}}\\n')
    os.write(0, text + b"\\n")
"""


def _workshop(folder: Path, *answers: bytes) -> Workshop:
    node = folder / "node"
    node.write_text(_FAKE.format(python=sys.executable, answers=answers))
    node.chmod(0o755)
    return Workshop(node)


def test_what_is_printed_is_no_answer(tmp_path: Path) -> None:
    workshop = _workshop(
        tmp_path, b'{"id": 1, "ok": {"n": 1}}', b'{"id": 2, "error": {"message": "mend it"}}'
    )
    assert workshop.ask({"do": "bundle"}) == {"n": 1}
    with pytest.raises(InvalidRequest, match="mend it"):
        workshop.ask({"do": "bundle"})
    workshop.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"HELLO",
        b"1",
        b"null",
        b'{"id": 2, "ok": {}}',
        b'{"ok": {}}',
        b'{"id": 1, "ok": 1}',
        b'{"id": 1, "error": "x"}',
    ],
)
def test_an_answer_out_of_step_ends_it_and_the_next_one_is_whole(tmp_path: Path, answer: bytes) -> None:
    told = answer + b"\n"
    workshop = _workshop(tmp_path, answer)
    with pytest.raises(InvalidRequest, match="the JavaScript toolchain failed") as caught:
        workshop.ask({"do": "bundle"})
    assert caught.value.detail == f"build.mjs answered {told!r}"
    _workshop(tmp_path, b'{"id": 2, "ok": {"n": 2}}')
    assert workshop.ask({"do": "bundle"}) == {"n": 2}
    workshop.close()


def test_one_that_ends_says_so(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest) as caught:
        _workshop(tmp_path).ask({"do": "bundle"})
    assert caught.value.detail == "build.mjs has ended"
