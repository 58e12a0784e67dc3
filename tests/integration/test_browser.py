"""The dashboard in a real browser: Debian's Chromium, without a window, driven over its own protocol.

In CI a missing browser is a failure; elsewhere these tests say what to install.
"""

import asyncio
import os
import re
import shutil
from urllib.parse import quote

import pytest
import pytest_asyncio
from playwright.async_api import async_playwright, expect

from .conftest import REDUCE_STOCK
from .dashboard_kit import HOSTILE, REVERSED, dead_event, record
from .http_kit import deploy, lasting, served, token

pytestmark = pytest.mark.timeout(
    300
)  # the first test starts a browser and a node, and compiles two components
LONG_MS = 30_000
expect.set_options(timeout=LONG_MS)
PHONE = {"width": 375, "height": 700}
NOTE = b"\0\3\1vx"  # a section without meaning, which makes another version of a component
# What this page sends to the dashboard, from the same origin, is what any site could send.
ATTACKER = """<!doctype html><title>attack</title><iframe src="/dashboard/" name="frame"></iframe>
<form action="/dashboard/events/EVENT/discard" method="post" target="frame2"><input name="form_token" value="x"></form>
<iframe name="frame2"></iframe><script>
const tell = (text) => document.body.append(text + ";");
const ways = [{}, {credentials: "include"}, {mode: "no-cors", credentials: "include"}];
Promise.all(ways.map((way) => fetch("/dashboard/", way).then((a) => a.text(), () => "")))
  .then((texts) => { tell(texts.some((t) => t.includes("Log out")) ? "read" : "unread");
    try { document.cookie; tell("cookies") } catch { tell("no cookies") }
    document.forms[0].submit(); tell("sent") });
</script>"""


@pytest_asyncio.fixture(scope="module")
async def chromium():
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(
            "no browser: on Debian, apt-get install chromium"
        )
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        )
        yield browser
        await browser.close()


@pytest_asyncio.fixture(scope="module")
async def db(module_database):
    conn = await module_database.connect()
    await conn.execute(
        """CREATE TABLE products (id int PRIMARY KEY, name text, stock int NOT NULL);
        INSERT INTO products VALUES (1, 'cup', 1000000), (2, 'jug', 1);
        CREATE TABLE orders (id bigserial PRIMARY KEY, product_id int, quantity int);
        GRANT SELECT, UPDATE ON products TO service_role"""
    )
    return conn


@pytest_asyncio.fixture(scope="module")
async def shop(db, module_database):
    """A served node with a shop: reduce-stock in two versions, started by orders."""
    async with lasting(module_database, poll_s=0.2) as node, served(node) as client:
        for component in (REDUCE_STOCK.read_bytes(), REDUCE_STOCK.read_bytes() + NOTE):
            answer = await deploy(client, "reduce-stock", component)
            assert answer.status_code == 201, answer.text
        await db.execute(
            """SELECT aerofn.create_row_trigger('reduce-stock', 'orders', '{INSERT}', run_as => 'service_role',
                                                max_attempts => 1);
            SELECT aerofn.create_schedule('reduce-stock', '0 8 * * *', 'Europe/Berlin');
            SELECT aerofn.create_webhook('reduce-stock', 'github', '{HUB}')"""
        )
        yield client


@pytest.fixture
async def page_of(shop, chromium):
    """Makes pages, each in a browser of its own; at the end, none of them may have complained of anything."""
    contexts, complaints = [], []

    def heard(kind, text, expected):
        if kind in ("error", "warning") and not (expected and expected in text):
            complaints.append(text)

    async def make(expected=None, **options):
        context = await chromium.new_context(base_url=str(shop.base_url), **options)
        context.set_default_timeout(LONG_MS)
        contexts.append(context)
        page = await context.new_page()
        page.on("console", lambda said: heard(said.type, said.text, expected))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        return page

    yield make
    for context in contexts:
        await context.close()
    assert complaints == []


async def log_in(page):
    await page.goto("/")
    await page.get_by_label("Token of role").fill(token("service_role", sub="ops"))
    await page.get_by_role("button", name="Log in").click()
    await expect(page.get_by_role("heading", name="Functions")).to_be_visible()


@pytest.fixture
async def page(page_of):
    page = await page_of()
    await log_in(page)
    return page


def order(db, product=1, quantity=1):
    return db.execute("INSERT INTO orders (product_id, quantity) VALUES ($1, $2)", product, quantity)


async def recorded(db):
    """How many invocations are recorded once all events have run."""
    await until(db, "NOT EXISTS (SELECT FROM aerofn.events WHERE state IN ('pending', 'running'))")
    await until(db, "(SELECT count(*) FROM orders) <= (SELECT count(*) FROM aerofn.invocations)")
    return await db.fetchval("SELECT count(*) FROM aerofn.invocations")


async def until(db, condition):
    async with asyncio.timeout(60):
        while not await db.fetchval(f"SELECT {condition}"):
            await asyncio.sleep(0.05)


async def test_an_insert_appears_by_itself(page, db):
    await page.get_by_role("link", name="Invocations", exact=True).click()
    rows = page.locator("#invocations tbody tr")
    await expect(page.get_by_role("button", name="Live")).to_have_attribute("aria-pressed", "true")
    before = await recorded(db)
    await order(db)
    await expect(rows).to_have_count(before + 1)
    await expect(rows.first).to_contain_text("reduce-stock")
    await expect(rows.first).to_contain_text("success")
    await rows.first.get_by_role("link").first.click()
    await expect(page.locator(".facts")).to_contain_text("service_role")
    await expect(page.locator(".facts")).to_contain_text("attempt 1")


async def test_what_has_focus_stays_and_live_can_be_paused(page, db):
    await order(db)
    await page.clock.install()
    await page.goto("/dashboard/invocations")
    rows = page.locator("#invocations tbody tr")
    before = await recorded(db)
    await expect(rows).to_have_count(before)
    await rows.first.get_by_role("link").first.focus()
    focused = await page.evaluate("document.activeElement.href")
    await order(db)
    await expect(rows).to_have_count(before + 1)
    assert await page.evaluate("document.activeElement.href") == focused
    await page.get_by_role("button", name="Live").click()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    await page.clock.run_for(60_000)
    await page.evaluate("fetch('/healthz').then(() => null)")
    assert [url.rpartition("/")[2] for url in asked] == ["healthz"]


async def test_a_dead_event_is_replayed_and_another_discarded(page, db):
    await db.execute("DELETE FROM aerofn_internal.events")
    await page.goto("/dashboard/events?state=dead")
    await expect(page.get_by_text("No dead events")).to_be_visible()
    for _ in range(4):
        await order(db, 2, 5)
    rows = page.locator("#events tbody tr")
    await expect(rows).to_have_count(4)  # live
    await expect(page.locator("nav .badge")).to_have_text(re.compile("4"))
    await rows.last.get_by_role("link").click()
    await expect(page.locator(".errors")).to_contain_text("only 1 are left")
    await expect(page.locator("pre")).to_contain_text(['"quantity": 5'])
    await db.execute("UPDATE products SET stock = 100 WHERE id = 2")
    await page.get_by_role("button", name="Replay").click()
    await expect(page.locator(".head .status")).to_contain_text("done")  # live
    await page.goto("/dashboard/events?state=dead")
    await expect(rows).to_have_count(3)
    await rows.last.get_by_role("button", name="Discard").click()
    await expect(page.get_by_role("status").filter(has_text="Given up")).to_be_visible()
    await expect(rows).to_have_count(2)
    await page.get_by_text("Discard all").click()
    await page.get_by_role("button", name="Discard 2 events").click()
    await expect(page.get_by_role("status").filter(has_text="2 given up")).to_be_visible()
    await expect(page.get_by_text("No dead events")).to_be_visible()
    assert await db.fetchval("SELECT stock FROM products WHERE id = 2") == 95
    assert await db.fetchval("SELECT count(*) FROM aerofn.events WHERE state = 'cancelled'") == 3


async def test_a_version_is_rolled_back(page, db):
    await page.get_by_role("link", name="reduce-stock").click()
    row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="v1"))
    await row.get_by_role("button", name="Roll back").click()
    await expect(page.get_by_text("That version runs now.")).to_be_visible()
    await expect(row.get_by_text("runs", exact=True)).to_be_visible()
    active = "SELECT active_version FROM aerofn.functions WHERE name = 'reduce-stock'"
    assert await db.fetchval(active) == 1
    await page.get_by_role("button", name="Activate").click()
    await expect(row.get_by_role("button", name="Roll back")).to_be_visible()
    assert await db.fetchval(active) == 2


async def test_by_keyboard_alone(page_of, db):
    await db.execute("DELETE FROM aerofn_internal.events")
    await order(db, 2, 100_000)
    page = await page_of()
    await page.goto("/")
    await expect(page.get_by_role("textbox")).to_be_focused()
    await page.keyboard.type(token("service_role"))
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Functions")).to_be_visible()
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    await page.keyboard.press("Enter")
    assert await page.evaluate("document.activeElement.id") == "main"
    await tab_to(page, "Dead events")
    assert await page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    await page.keyboard.press("Enter")
    await expect(page.locator("#events tbody tr")).to_have_count(1)
    await tab_to(page, "Discard all")
    await page.keyboard.press("Enter")
    await tab_to(page, "Discard 1 event")
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("No dead events")).to_be_visible()
    await tab_to(page, "Log out")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Log in")).to_be_visible()


async def tab_to(page, text):
    for _ in range(40):
        await page.keyboard.press("Tab")
        if text in await page.evaluate("document.activeElement.textContent"):
            return
    raise AssertionError(f"Tab does not come to {text!r}")


async def test_it_works_without_javascript(page_of, db):
    await db.execute("DELETE FROM aerofn_internal.events")
    page = await page_of(java_script_enabled=False)
    await log_in(page)
    await order(db, 2, 100_000)
    await until(db, "EXISTS (SELECT FROM aerofn.events WHERE state = 'dead')")
    event = await db.fetchval("SELECT max(id) FROM aerofn.events")
    await page.goto(f"/dashboard/events/{event}")
    await expect(page.get_by_role("button", name="Live")).to_be_hidden()
    await page.get_by_role("button", name="Discard").click()
    await expect(page.locator("h1 + * .status")).to_contain_text("cancelled")
    await page.goto("/dashboard/triggers")
    schedule = page.locator("#schedules tbody tr")
    await expect(schedule.locator("time").first).to_have_attribute("title", re.compile(r"^20\d\d-.* UTC$"))
    await schedule.get_by_role("button", name="Pause").click()
    await expect(schedule).to_contain_text("paused")
    await page.locator("#schedules tbody tr").get_by_role("button", name="Resume").click()
    await expect(schedule.locator("time").first).to_be_visible()
    await page.get_by_role("button", name="Log out").click()
    await expect(page.get_by_role("heading", name="Log in")).to_be_visible()


async def test_hostile_text_stays_text_and_fits_a_phone(page_of, db):
    text = HOSTILE + REVERSED
    await db.execute(
        "SELECT aerofn.create_row_trigger('reduce-stock', 'products', '{DELETE}', name => $1)", text
    )
    await db.execute("UPDATE aerofn_internal.functions SET name = 'f' WHERE name = 'reduce-stock'")
    event = await dead_event(db, text + "w" * 3000, text, {"w" * 500: text})
    await db.execute("UPDATE aerofn_internal.functions SET name = 'reduce-stock' WHERE name = 'f'")
    error = {"message": text + "w" * 100_000, "name": text, "stack": text, "code": text}
    logs = [{"level": text, "message": text + "w" * 5000, "at_ms": n} for n in range(50)]
    ran = await record(db, text, "trap", event=event, error=error, logs=logs, user=text)
    for options in ({"viewport": PHONE}, {"color_scheme": "dark"}):
        page = await page_of(**options)
        await log_in(page)
        for path in ("/", "/invocations", f"/invocations/{ran}", "/events", "/events?state=dead", f"/events/{event}",
                     "/triggers", "/functions/reduce-stock", "/invocations?show=failed"):  # fmt: skip
            await page.goto(f"/dashboard{path}")
            assert await page.evaluate("window.hacked") is None
            assert "\u202e" not in await page.content()
            beyond = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert beyond <= 0, path
        await page.goto("/dashboard/events?state=dead")
        await expect(page.locator(".group .title").first).to_contain_text("RIGHT-TO-LEFT OVERRIDE")
    await (
        page.locator(".group")
        .filter(has_text="window.hacked")
        .get_by_role("button", name="Replay all")
        .click()
    )
    await expect(page.get_by_role("status").filter(has_text="1 run again")).to_be_visible()
    await db.execute("DELETE FROM aerofn_internal.events")
    await db.execute("SELECT aerofn.drop_trigger($1)", text)


async def test_a_functions_page_cannot_ride_the_session(page, shop, db, probe):
    event = await db.fetchval(
        "SELECT aerofn.invoke('reduce-stock', 'null', run_at => now() + interval '1 day')"
    )
    await deploy(shop, "probe", probe)
    attack = quote(ATTACKER.replace("EVENT", str(event)))
    # with the session's cookies; the browser may complain of what it refuses
    tab = await page.context.new_page()
    async with tab.expect_request(lambda request: request.method == "POST") as sending:
        await tab.goto(f"/functions/v1/probe/page?{attack}")
        await expect(tab.locator("body")).to_contain_text("unread;no cookies;sent")
    sent = await sending.value
    answered = await sent.response()
    assert answered.status == 403
    assert "cookie" not in await sent.all_headers()
    assert await db.fetchval("SELECT state FROM aerofn.events WHERE id = $1", event) == "pending"
    await tab.goto("/dashboard/")
    await expect(tab.get_by_role("heading", name="Functions")).to_be_visible()


async def test_when_the_session_ends_the_page_goes_to_the_login(page_of):
    page = await page_of(expected="401")
    await log_in(page)
    async with page.expect_console_message(lambda said: "401" in said.text):  # of the poll
        await page.context.clear_cookies()
    await expect(page.get_by_role("heading", name="Log in")).to_be_visible()
