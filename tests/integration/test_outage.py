"""A node that loses its database says so, comes back by itself and misses nothing; one that cannot hear says so."""

import asyncio
import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import httpx
import pytest

from aerofn.db import listener
from aerofn.dispatch import wakeups
from aerofn.errors import DatabaseUnavailable

CUT = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE application_name LIKE 'aerofn%' AND datname = current_database()"""


async def until(condition):
    async with asyncio.timeout(60):
        while not await condition():
            await asyncio.sleep(0.05)


async def test_a_database_that_is_away_for_a_while(shop, server, node_of):
    async with node_of(poll_s=0.2) as node:
        alter = "ALTER DATABASE " + await shop.fetchval("SELECT quote_ident(current_database())")
        before = node.parts.listener.node
        assert (before is not None, (await node.readiness()).reasons) == (True, [])
        await server.admin.execute(f"{alter} ALLOW_CONNECTIONS false")
        await shop.execute(CUT)
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(node.application()), base_url="http://aerofn"
        ) as client:
            await until(lambda: _says(client, "no connection for wakeups"))
            await until(lambda: _says(client, "the database cannot be reached"))
            await shop.execute(
                "INSERT INTO orders (product_id, quantity) VALUES (1, 3)"
            )  # its wakeup is lost
            await server.admin.execute(f"{alter} ALLOW_CONNECTIONS true")
            await node.records.until(1)
            await until(lambda: _says(client, '"ready"'))
        assert node.parts.listener.node not in (None, before)
        assert await shop.fetchval("SELECT stock FROM products WHERE id = 1") == 97


async def _says(client, text):
    return text in (await client.get("/readyz")).text


async def test_a_node_that_does_not_hear_notifications_does_not_start(database, server, node_of, monkeypatch):
    """As with a pooler: LISTEN succeeds there too. Here it is another database that it listens on."""
    monkeypatch.setattr(listener, "_CHECK_S", 0.5)
    elsewhere = await server.create()
    try:
        with pytest.raises(DatabaseUnavailable) as caught:
            async with node_of(direct_database_url=server.database(elsewhere).url):
                pass
        assert caught.value.code == "wakeups_unheard"
        assert "AEROFN_DIRECT_DATABASE_URL" in caught.value.hint
    finally:
        await server.drop(elsewhere)


async def test_busy_nodes_do_without_wakeups_and_idle_ones_are_told(shop, database, node_of, monkeypatch):
    monkeypatch.setattr(wakeups, "_WINDOW_S", 3600.0)  # it does not choose again before it is to
    wanted = """SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = 4279888 AND granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""
    heard = []
    other = await database.connect()
    await other.add_listener("aerofn", lambda *_: heard.append(1))
    await shop.execute("INSERT INTO orders (product_id, quantity) VALUES (1, 1)")
    assert await other.fetchval("SELECT count(*) FROM aerofn.events") == 1
    assert heard == []  # nobody is there to be told
    async with node_of(poll_s=3600) as node:
        await node.records.until(1)
        assert await other.fetchval(wanted) == 1
        await shop.execute("INSERT INTO orders (product_id, quantity) VALUES (1, 1)")
        await node.records.until(2)  # it was told: it would not look by itself
        await node.parts.listener.ask(quiet=True)
        async with asyncio.timeout(60):
            while not heard:
                await asyncio.sleep(0.01)
        node.parts.dispatcher.wake()
        await shop.execute("INSERT INTO orders (product_id, quantity) VALUES (1, 1)")
        await node.records.until(3)
        assert await other.fetchval("SELECT 1") == 1  # what it was to be told, has come by now
        assert len(heard) == 1
        monkeypatch.undo()
        async with asyncio.timeout(60):  # nothing to do: it asks to be told again
            while node.parts.listener.quiet:
                await asyncio.sleep(0.05)
        assert await other.fetchval(wanted) == 1
        await shop.execute("INSERT INTO orders (product_id, quantity) VALUES (1, 1)")
        await node.records.until(4)


async def test_who_is_told_once_also_finds_what_comes_due_later_and_what_waits_for_its_row(shop, node_of):
    """No wakeup comes for either, and the node would not look by itself."""
    await shop.execute(
        """SELECT aerofn.create_row_trigger('reduce-stock', 'orders', '{UPDATE}', name => 'in_order',
            run_as => 'service_role', ordered_by => 'row')"""
    )
    async with node_of(poll_s=3600) as node:
        async with shop.transaction():
            await shop.execute("INSERT INTO orders (product_id, quantity) VALUES (1, 1)")
            for _ in range(3):
                await shop.execute("UPDATE orders SET quantity = quantity + 1")
            await shop.execute(
                """SELECT aerofn.invoke('reduce-stock', '{"product_id": 1, "quantity": 10}', run_as => 'service_role',
                    run_at => clock_timestamp() + interval '1 second')"""
            )
        records = await node.records.until(5)
        assert {record.status for record in records} == {"success"}
    assert await shop.fetchval("SELECT stock FROM products WHERE id = 1") == 100 - (1 + 2 + 3 + 4 + 10)


async def test_no_statement_runs_before_its_lease_is_on_the_disk(shop, node_of, monkeypatch):
    """Else an event whose statement crashes PostgreSQL would come back with its attempt uncounted, for ever."""
    async with node_of(poll_s=0.2) as node:
        secure, tries = node.parts.events.secure, []

        async def at_the_second_try():
            tries.append(1)
            if len(tries) == 1:
                raise DatabaseUnavailable("the connection broke")
            await secure()

        monkeypatch.setattr(node.parts.events, "secure", at_the_second_try)
        await shop.execute("INSERT INTO orders (product_id, quantity) VALUES (1, 3)")
        first, second = await node.records.until(2)
        assert (first.status, first.attempt, first.error["message"]) == (
            "host_error",
            1,
            "the connection broke",
        )
        assert (second.status, second.attempt) == ("success", 2)
    assert await shop.fetchval("SELECT stock FROM products WHERE id = 1") == 97


@pytest.fixture
def pgbouncer(database):
    """URL of the test's database by way of a real pgbouncer in transaction mode."""
    if shutil.which("pgbouncer") is None:
        pytest.skip("there is no pgbouncer: on Debian, apt-get install pgbouncer")
    at = urlsplit(database.url)
    with tempfile.TemporaryDirectory() as place, socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
        free.close()
        Path(place).chmod(0o755)
        users, ini = Path(place) / "users", Path(place) / "pgbouncer.ini"
        users.write_text(f'"{at.username}" "{at.password or ""}"\n')
        ini.write_text(
            f"[databases]\n* = host={at.hostname} port={at.port or 5432}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
            f"listen_port = {port}\nauth_type = scram-sha-256\nauth_file = {users}\nauth_user = {at.username}\n"
            "pool_mode = transaction\nunix_socket_dir =\n"
        )
        as_nobody = ["-u", "nobody"] if os.getuid() == 0 else []
        child = subprocess.Popen(["pgbouncer", "-q", *as_nobody, str(ini)], stderr=subprocess.DEVNULL)
        try:
            yield urlunsplit(at._replace(netloc=f"{at.username}:{at.password or ''}@127.0.0.1:{port}"))
        finally:
            child.terminate()
            child.wait(20)


async def test_behind_a_real_pooler(shop, database, node_of, pgbouncer):
    await until(lambda: _connects(pgbouncer))
    with pytest.raises(DatabaseUnavailable) as caught:
        async with node_of(database_url=pgbouncer):
            pass
    assert caught.value.code == "wakeups_unheard"
    async with node_of(database_url=pgbouncer, direct_database_url=database.url, poll_s=3600) as node:
        for number in range(1, 4):
            await shop.execute("INSERT INTO orders (product_id, quantity) VALUES (1, 1)")
            await node.records.until(number)


async def _connects(url):
    try:
        await (await asyncpg.connect(url, timeout=5)).close()
    except (OSError, asyncpg.PostgresError):
        return False
    return True
