"""SQL that nobody wrote: generated statements through a function, whose caller never sees a stranger's row."""

import asyncio

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from .arena import MALLORY

TABLES = st.sampled_from(["todos", "notes", "accounts", "logs", "pg_settings", "aerofn.events", "auth.uid()"])
# No session_user: it may be read, and here the login's name is to mean that a statement ran as the login.
ATOMS = st.sampled_from(["*", "1", "NULL", "owner", "title", "body", "'victim'", "current_user", "auth.uid()", "$1",
    "count(*)", "current_setting('aerofn.caller')", "('x'::text).ts_stat", "(SELECT 1)", "pg_backend_pid()",
    "random()", "aerofn_auth.caller()", "exec_sql('RESET ROLE')", "exec_sql($q$SET LOCAL aerofn.caller=''$q$)",
    "run_sql('SELECT current_user')", "exec_sql('DEALLOCATE ALL')", "exec_sql('SET search_path=pg_temp')",
    "set_config('role','none',true)", "exec_sql('SET client_encoding=SJIS')"])  # fmt: skip
WORDS = st.sampled_from(["SELECT", "FROM", "WHERE", "UNION ALL", "(", ")", ",", ";", "--", "/*", "*/", "AS x",
    "WITH x AS", "LATERAL", "IN", "INSERT INTO", "UPDATE", "SET", "DELETE FROM", "RETURNING *", "VALUES", "COMMIT",
    "$$", "E'\\'", "''", "'", "\\", "::", "U&"])  # fmt: skip
SHAPED = st.builds(
    lambda columns, table, test: f"SELECT {', '.join(columns)} FROM {table} WHERE {test} IS NOT NULL",
    st.lists(ATOMS, min_size=1, max_size=3), TABLES, ATOMS,
)  # fmt: skip
WRITES = st.builds(
    lambda table, new, old: f"UPDATE {table} SET owner = {new} WHERE owner <> {old} RETURNING *",
    TABLES,
    ATOMS,
    ATOMS,
)
SOUP = st.lists(st.one_of(WORDS, ATOMS, TABLES), min_size=1, max_size=14).map(" ".join)
BATCH = st.lists(st.one_of(SHAPED, WRITES, SOUP, st.text(max_size=60)), min_size=30, max_size=30)


async def test_generated_sql_sees_no_stranger(arena):
    batches = []

    @given(BATCH)
    @settings(max_examples=25, database=None, derandomize=True, deadline=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))  # fmt: skip
    def collect(batch):
        batches.append(batch)

    collect()
    gate = asyncio.Semaphore(6)

    async def one(batch):
        async with gate:
            statements = [(text, [1] if "$1" in text else []) for text in batch]
            told = await arena.send("authenticated", MALLORY, statements)
            assert "victim signed" not in told.rows + told.errors, batch
            assert "aerofn_run" not in told.rows, batch
            await arena.honest()

    await asyncio.gather(*map(one, batches))
    assert len(batches) >= 25
