"""`aerofn apply`: the plan, carrying it out, drift, and all or nothing."""

import shutil
from pathlib import Path

import pytest_asyncio

from tests.conftest import _lent, compiled

from .cli_kit import WASM, aerofn, serving

TABLES = """
    CREATE TABLE products (id int PRIMARY KEY, stock int NOT NULL);
    CREATE TABLE orders (id int PRIMARY KEY, product_id int, quantity int, status text);"""
CLOCK_AND_SENDERS = """
[schedules.nightly]
function = "shop"
cron = "0 3 * * *"
timezone = "Europe/Berlin"
missed = "once"
payload = { kind = "report" }
run_as = "service_role"

[webhooks.paid-elsewhere]
function = "shop"
scheme = "hmac"
secrets = ["PAYMENTS"]
header = "X-Signature"
id_from = "$.id"
"""
DECLARED = """
[functions.shop]
source = "shop.wasm"
timeout_ms = 2000

[row_triggers.paid]
function = "shop"
table = "orders"
events = ["update", "INSERT"]
run_as = "service_role"
when = "NEW.status = 'paid'"
"""


class Applied:
    """A project's folder and the database it is applied to."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url

    def declare(self, text: str) -> None:
        (self.folder / "aerofn.toml").write_text(text)

    async def __call__(self, *arguments: str):
        return await aerofn("apply", str(self.folder), *arguments, DATABASE_URL=self.url)


@pytest_asyncio.fixture(scope="module")
async def applied(server, template, tmp_path_factory):
    async with _lent(server, await server.create(template)) as database:
        await (await database.connect()).execute(TABLES)
        folder = tmp_path_factory.mktemp("project")
        shutil.copy(WASM, folder / "shop.wasm")
        async with serving(database.url, compiled()):
            yield Applied(folder, database.url), database


def changes(said) -> dict[str, str]:
    return {step["name"]: step["change"] for step in said.json["steps"]}


async def test_from_nothing_to_declared_and_no_further(applied):
    apply, database = applied
    apply.declare(DECLARED)
    planned = await apply("--dry-run")
    assert planned.code == 1
    assert "+ function     shop" in planned.out
    assert "2 to create" in planned.out
    conn = await database.connect()
    assert await conn.fetchval("SELECT count(*) FROM aerofn.functions") == 0

    done = await apply("--json")
    assert (done.code, done.err) == (0, "")
    assert (changes(done), done.json["versions"]) == ({"shop": "create", "paid": "create"}, {"shop": 1})
    made = await conn.fetchrow('SELECT "table", events, run_as, "when" FROM aerofn.triggers')
    assert tuple(made) == ("orders", ["INSERT", "UPDATE"], "service_role", "NEW.status = 'paid'")

    again = await apply()
    assert (again.code, "nothing to do" in again.out) == (0, True)
    assert (await apply("--dry-run")).code == 0


async def test_drift_is_named_and_mended(applied):
    apply, database = applied
    conn = await database.connect()
    await conn.execute("SELECT aerofn.disable_trigger('paid')")
    drifted = await apply("--dry-run")
    assert drifted.code == 1
    assert "~ row trigger  paid" in drifted.out
    assert "enabled: False → True" in drifted.out
    apply.declare(DECLARED.replace("2000", "3000").replace("'paid'\"", "'paid' AND NEW.quantity > 1\""))
    mended = await apply("--json")
    assert changes(mended) == {"shop": "replace", "paid": "replace"}
    assert mended.json["versions"] == {"shop": 2}
    row = await conn.fetchrow('SELECT enabled, "when" FROM aerofn.triggers')
    assert tuple(row) == (True, "NEW.status = 'paid' AND NEW.quantity > 1")


async def test_a_rollback_is_drift(applied):
    apply, database = applied
    conn = await database.connect()
    await conn.execute("SELECT aerofn.activate_version('shop', 1)")
    told = await apply("--dry-run")
    assert "version: rolled back from 2 → newest" in told.out
    assert (await apply()).code == 0
    assert await conn.fetchval("SELECT active_version FROM aerofn.functions") == 2


async def test_what_is_not_declared_is_left_unless_pruned(applied):
    apply, database = applied
    conn = await database.connect()
    await conn.execute("SELECT aerofn.create_row_trigger('shop', 'products', '{DELETE}', 'stray')")
    left = await apply("--json")
    assert changes(left)["stray"] == "stray"
    asked = await apply("--prune")  # nobody is there to say yes
    assert (asked.code, "- row trigger  stray" in asked.out) == (2, True)
    assert "nothing was changed: nobody said yes\n  hint: say it in advance: --yes" in asked.err
    assert await conn.fetchval("SELECT count(*) FROM aerofn.triggers") == 2
    assert changes(await apply("--prune", "--yes", "--json"))["stray"] == "drop"
    assert await conn.fetchval("SELECT count(*) FROM aerofn.triggers") == 1


async def test_one_refused_step_undoes_all(applied):
    apply, database = applied
    apply.declare(
        DECLARED.replace("3000", "4000") + '[row_triggers.bad]\nfunction = "shop"\ntable = "nowhere"\n'
    )
    refused = await apply()
    assert refused.code == 1
    assert "there is no table 'nowhere'" in refused.err
    conn = await database.connect()
    assert await conn.fetchval("SELECT newest_version FROM aerofn.functions") == 2


async def test_schedules_and_webhooks(applied):
    apply, database = applied
    apply.declare(DECLARED.replace("2000", "3000") + CLOCK_AND_SENDERS)
    assert (await apply("--json")).code == 0
    conn = await database.connect()
    rows = await conn.fetch(
        "SELECT name, cron, timezone, scheme, header FROM aerofn.triggers WHERE kind <> 'row' ORDER BY 1"
    )
    assert [tuple(row) for row in rows] == [
        ("nightly", "0 3 * * *", "Europe/Berlin", None, None),
        ("paid-elsewhere", None, None, "hmac", "x-signature"),
    ]
    assert (await apply("--dry-run")).code == 0
    apply.declare(DECLARED.replace("2000", "3000") + CLOCK_AND_SENDERS.replace("0 3", "0 4"))
    changed = await apply("--dry-run")
    assert "~ schedule     nightly" in changed.out
    assert "cron: 0 3 * * * → 0 4 * * *" in changed.out
