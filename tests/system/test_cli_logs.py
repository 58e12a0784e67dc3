"""`aerofn logs`, and what the command line completes at a shell's prompt."""

import asyncio
import contextlib
import json
import shutil
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest

from .cli_kit import LONGEST_S, aerofn, environment
from .terminal_kit import CTRL_C_WORKS

INSERT = """
    INSERT INTO aerofn_internal.invocations
      (id, function, version, "trigger", attempt, status, duration_ms, cpu_ms, queries, role, error, logs, "timestamp")
    VALUES (gen_random_uuid(), $1, 1, 'http', 1, $2, 1.25, 1, 0, 'anon',
            CASE WHEN $2 <> 'success' THEN jsonb_build_object('message', 'went wrong', 'stack', $5::text) END,
            jsonb_build_array(jsonb_build_object('level', 'info', 'message', $3::text, 'at_ms', 0.1)), $4)"""


@pytest.fixture
async def record(database):
    """Makes a record as a node would."""
    conn = await database.connect()

    async def record(message, function="f", status="success", ago=0.0, stack=None):
        at = datetime.now(UTC) - timedelta(seconds=ago)
        await conn.execute(INSERT, function, status, message, at, stack)

    return record


class Gate:
    """In front of PostgreSQL: closed, nobody gets in and who is in is thrown out."""

    def __init__(self, url: str) -> None:
        self._there = urlsplit(url)
        self._server: asyncio.Server | None = None
        self._inside: set[asyncio.StreamWriter] = set()
        self.port = 0
        self.refused = asyncio.Event()

    @property
    def url(self) -> str:
        there = self._there
        return there._replace(netloc=f"{there.netloc.rpartition('@')[0]}@127.0.0.1:{self.port}").geturl()

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        self._server.close()
        for writer in self._inside:
            writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(self._there.hostname, self._there.port)
        self._inside |= {writer, far_writer}
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_pump(reader, far_writer))
                tasks.create_task(_pump(far_reader, writer))
        finally:
            self._inside -= {writer, far_writer}


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(ConnectionError):
        writer.close()


@contextlib.asynccontextmanager
async def following(*arguments, url):
    """`aerofn logs -f`, at a terminal where Ctrl-C works."""
    child = await asyncio.create_subprocess_exec(
        *CTRL_C_WORKS, sys.executable, "-m", "aerofn", "logs", "-f", *arguments,
        env=environment(DATABASE_URL=url), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield child
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()


async def until(stream, text):
    """What comes, up to the line with `text`."""
    seen = ""
    async with asyncio.timeout(LONGEST_S):
        while text not in seen:
            line = await stream.readline()
            assert line, seen
            seen += line.decode()
    return seen


async def test_what_was_logged_the_newest_at_the_end(database, record):
    assert (await aerofn("logs", DATABASE_URL=database.url)).err == "no such invocations\n"
    await record("long ago", ago=7200)
    await record("first\nand its second line", ago=2)
    await record("elsewhere", "g", ago=1)
    await record("second", status="trap", ago=0.5)
    await record("third", status="function_error", stack="Error: went wrong\n    at handler (f.js:3:9)\n")
    said = await aerofn("logs", "--function", "f", "--since", "1h", DATABASE_URL=database.url)
    lines = said.out.splitlines()
    assert said.code == 0, said.err
    assert [line[24:] for line in lines if not line.startswith(" ")] == [
        "f v1 http success 1.2 ms", "f v1 http trap 1.2 ms", "f v1 http function_error 1.2 ms",
    ]  # fmt: skip
    assert [line for line in lines if line.startswith(" ")] == [
        "  info  first", "  and its second line", "  info  second", "  went wrong",
        "  info  third", "  Error: went wrong", "      at handler (f.js:3:9)",
    ]  # fmt: skip
    said = await aerofn("logs", "--status", "trap", "--json", DATABASE_URL=database.url)
    (one,) = [json.loads(line) for line in said.out.splitlines()]
    assert (one["status"], one["reason"], one["logs"][0]["message"]) == ("trap", "went wrong", "second")
    assert (await aerofn("logs", "--limit", "1", DATABASE_URL=database.url)).out.count(" ms") == 1
    wrong = await aerofn("logs", "--since", "yesterday", DATABASE_URL=database.url)
    assert (wrong.code, "'yesterday' is no time" in wrong.err) == (2, True)


async def test_following_goes_on_after_an_outage_and_ends_at_ctrl_c(database, record):
    gate = Gate(database.url)
    await gate.open()
    await record("before")
    async with following("--json", "--function", "f", url=gate.url) as child:
        seen = await until(child.stdout, "before")
        await record("live")
        await record("not mine", "g")
        seen += await until(child.stdout, "live")
        gate.close()
        await until(child.stderr, "trying again")
        await record("meanwhile")
        await record("late, by a node whose clock is behind", ago=2)
        await gate.open()
        seen += await until(child.stdout, "meanwhile")
        await record("last")
        seen += await until(child.stdout, "last")
        child.send_signal(signal.SIGINT)
        out, err = await asyncio.wait_for(child.communicate(), LONGEST_S)
        assert (child.returncode, err) == (130, b"")
        gate.close()
    told = [json.loads(line)["logs"][0]["message"] for line in (seen + out.decode()).splitlines()]
    assert sorted(told) == sorted(
        ["before", "live", "meanwhile", "late, by a node whose clock is behind", "last"]
    )


async def test_who_may_not_see_them_is_told_at_once(database):
    async with following(url=database.url.replace(database.url.rpartition("/")[2], "nowhere")) as child:
        _, err = await asyncio.wait_for(child.communicate(), LONGEST_S)
        assert child.returncode == 1
        assert b"nowhere" in err


BASH = """
eval "$(_AEROFN_COMPLETE=source_bash aerofn)"
COMP_WORDS=(aerofn {words}); COMP_CWORD={place}
_aerofn_completion aerofn
echo "${{COMPREPLY[@]}}"
"""


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["inv"], {"invoke", "invocations"}),
        (["triggers", "dis"], {"disable"}),
        (["logs", "--status", "mem"], {"memory_limit"}),
        (["logs", "--fol"], {"--follow"}),
    ],
)
def test_bash_completes(tmp_path, words, expected):
    program = tmp_path / "aerofn"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m aerofn "$@"\n')
    program.chmod(0o755)
    script = BASH.format(words=" ".join(words), place=len(words))
    path = f"{tmp_path}:{environment()['PATH']}"
    said = subprocess.run(
        [shutil.which("bash"), "-c", script],
        check=False,
        env=environment(PATH=path),
        capture_output=True,
        text=True,
    )
    assert (set(said.stdout.split()), said.stderr) == (expected, "")


@pytest.mark.parametrize("shell", ["zsh", "fish"])
async def test_other_shells_have_a_script(shell):
    said = await aerofn(_AEROFN_COMPLETE=f"source_{shell}")
    assert said.code == 0
    assert "_AEROFN_COMPLETE" in said.out
