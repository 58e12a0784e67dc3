"""`aerofn demo`, as `make demo` runs it: once, a second time, and stopped while it serves or still begins."""

import asyncio
import os
import re
import signal
import sys
from pathlib import Path

import psutil
import pytest

from aerofn.db.embedded import EmbeddedPostgres
from tests.conftest import compiled

from .terminal_kit import CTRL_C_WORKS, LONGEST_S, postgres_below, read_until

ROOT = Path(__file__).resolve().parents[2]


class Demo:
    """A demo in a directory of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.children: list[asyncio.subprocess.Process] = []

    async def start(self, *arguments: str, **environment: str) -> asyncio.subprocess.Process:
        """Begin it; what it prints goes to a pipe."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("AEROFN_", "DATABASE_"))}
        child = await asyncio.create_subprocess_exec(
            *CTRL_C_WORKS,
            sys.executable, "-m", "aerofn", "demo", "--port", "0", *arguments,
            cwd=self.folder, env={**clean, "PYTHONPATH": str(ROOT), "AEROFN_CACHE_DIR": str(compiled()), **environment},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        self.children.append(child)
        return child

    async def once(self, **environment: str) -> str:
        """Run it to its end; what it printed."""
        child = await self.start("--once", **environment)
        out, err = await asyncio.wait_for(child.communicate(), LONGEST_S)
        assert (child.returncode, err.decode()) == (0, ""), out.decode()
        return out.decode()

    async def shell(self, command: str) -> str:
        """Run a command in another terminal, with the demo's environment."""
        child = await asyncio.create_subprocess_exec(
            "sh", "-ec", f". .aerofn/env\n{command}", cwd=self.folder,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await asyncio.wait_for(child.communicate(), LONGEST_S)
        assert child.returncode == 0, err.decode()
        return out.decode()

    def processes(self) -> list[psutil.Process]:
        """PostgreSQL's, which work below the directory."""
        return postgres_below(self.folder / ".aerofn" / "demo")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One directory, as a person has one; nothing of it is left behind, whatever happens."""
    folder = tmp_path_factory.mktemp("demo")
    yield folder
    EmbeddedPostgres(folder / ".aerofn" / "demo").erase()


@pytest.fixture
async def demo(folder):
    demo = Demo(folder)
    yield demo
    for child in demo.children:
        if child.returncode is None:
            child.kill()
            await child.communicate()


def check_story(said: str) -> None:
    assert "SELECT aerofn.register_function('reduce-stock', decode(:'wasm', 'base64'));" in said
    assert "version 1 is compiled and live" in said
    assert re.search(r"Espresso cup +40 +38\n.*Teapot +12 +11\n.*Milk jug +3 +3\n", said)
    assert "→ order 3 wants 5 × Milk jug, but only 3 are left" in said
    assert re.search(r"SELECT aerofn.replay\(\d+\)", said)
    assert '→ {"product":1,"stock":35}' in said
    assert "permission denied for table products" in said
    assert len(re.findall(r"^   row +service_role +\d+\.\d ms +\d+\.\d ms +\d", said, re.MULTILINE)) == 4
    assert re.search(r"^   http +authenticated .* success *$", said, re.MULTILINE)
    assert "\x1b" not in said, "no colours where there is no terminal"
    assert len(said.splitlines()) <= 70


async def test_once_and_a_second_time(demo):
    check_story(await demo.once())
    assert demo.processes() == []
    # The second time there is no curl, and nothing else on the PATH that it could lean on.
    check_story(await demo.once(PATH=""))
    assert demo.processes() == []


@pytest.mark.long
async def test_it_serves_until_it_is_told_to_stop(demo):
    child = await demo.start()
    check_story(await read_until(child, "stop "))
    rows = await demo.shell(
        """psql -X -qAt "$DATABASE_URL" -c "INSERT INTO orders (product_id, quantity) VALUES (2, 4)" """
    )
    assert rows == ""
    assert "order 5: 4 × Teapot, 6 left" in await read_until(child, "order 5")
    assert '"stock": 5' in await demo.shell(
        """aerofn invoke reduce-stock -d '{"product_id": 2, "quantity": 1}'"""
    )
    child.send_signal(signal.SIGINT)
    assert await asyncio.wait_for(child.wait(), LONGEST_S) == 0
    assert demo.processes() == []


@pytest.mark.long
async def test_a_second_one_says_that_it_is_there_already(demo):
    child = await demo.start()
    await read_until(child, "stop ")
    other = await demo.start("--once")
    _, err = await asyncio.wait_for(other.communicate(), LONGEST_S)
    assert other.returncode == 1
    assert "a service runs on the demo's database" in err.decode()
    assert "Traceback" not in err.decode()
    assert (
        await demo.shell('psql -X -qAt "$DATABASE_URL" -c "SELECT stock FROM products WHERE id = 3"') == "3\n"
    )
    child.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(child.wait(), LONGEST_S) == 0
    assert demo.processes() == []


async def test_interrupted_before_its_end(demo):
    child = await demo.start("--once")
    await read_until(child, "1  Register a function")
    child.send_signal(signal.SIGINT)
    out, err = await asyncio.wait_for(child.communicate(), LONGEST_S)
    assert child.returncode == 130, (out, err)
    assert "Traceback" not in err.decode()
    assert demo.processes() == []
