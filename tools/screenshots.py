"""The pictures of the dashboard in docs/: `python -m tools.screenshots`, on a PostgreSQL of its own, with Chromium."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
from playwright.async_api import Browser, Page, async_playwright

from aerofn import sql
from aerofn.app import Service, http_server, url_of
from aerofn.cli.tokens import token
from aerofn.db.embedded import EmbeddedPostgres
from aerofn.settings import from_env

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
_Q = sql.Queries(
    "screenshots", sql.parse_queries("screenshots", Path(__file__).with_suffix(".sql").read_text())
)
_SECRET = "a secret for pictures only, and long enough"  # noqa: S105
_FUNCTIONS = (
    "reduce-stock",
    "send-receipt",
    "search-catalog",
    "stripe-events",
    "daily-report",
    "sync-inventory",
)


@asynccontextmanager
async def stage() -> AsyncIterator[str]:
    """A service with a busy hour behind it; its URL."""
    directory = Path(tempfile.mkdtemp(prefix="aerofn-pictures-"))
    server = EmbeddedPostgres(directory / "pg")
    server.start()
    settings = from_env(
        {}, database_url=server.url, jwt_secret=_SECRET, port=0, records_to_stdout=False,
        cache_dir=directory / "cache",
    )  # fmt: skip
    service = Service(settings, env={})
    try:
        await service.start()
        async with _served(service) as url:
            await _busy_hour(server.url)
            yield url
    finally:
        await service.stop()
        server.erase()
        shutil.rmtree(directory)


@asynccontextmanager
async def _served(service: Service) -> AsyncIterator[str]:
    ready = asyncio.Event()
    server = http_server(service, lambda _url: ready.set())
    serving = asyncio.create_task(server.serve())
    await ready.wait()
    yield url_of(server)
    server.should_exit = True
    await serving


async def _busy_hour(database: str) -> None:
    connection = await asyncpg.connect(database)
    component = (ROOT / "examples" / "reduce-stock" / "reduce-stock.wasm").read_bytes()
    await connection.execute(_Q.shop)
    for name in _FUNCTIONS:
        await connection.fetchval(_Q.register, name, component)
    await _until_none(connection, _Q.compiled)
    for number in range(2, 4):
        await connection.fetchval(_Q.register, "reduce-stock", component + _note(number))
    await _until_none(connection, _Q.compiling)
    await connection.execute(_Q.attach)
    await connection.execute(_Q.order)
    await _until_none(connection, _Q.settled)
    await connection.execute(_Q.busy_hour)
    await connection.close()


def _note(number: int) -> bytes:
    """A section without meaning, so that a component is another version."""
    return bytes((0, 3, 1)) + b"v" + bytes((number,))


async def _until_none(connection: "asyncpg.Connection[asyncpg.Record]", count: str) -> None:
    async with asyncio.timeout(120):
        while await connection.fetchval(count):  # noqa: ASYNC110  it is the service that changes it
            await asyncio.sleep(0.1)


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Debian's Chromium, without a window."""
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield browser
        await browser.close()


async def log_in(page: Page, url: str) -> None:
    """Log in to the dashboard."""
    await page.goto(url)
    await page.fill("#token", token({"AEROFN_JWT_SECRET": _SECRET}, "service_role", "ops@shop.example", "1h"))
    await page.click("text=Log in >> nth=-1")
    await page.wait_for_selector("#tiles")


async def main() -> None:
    """Take the pictures."""
    async with stage() as url, chromium() as browser:
        page = await browser.new_page(viewport={"width": 1180, "height": 800}, color_scheme="light")
        await log_in(page, url)
        await page.screenshot(path=DOCS / "dashboard.png")
        await page.emulate_media(color_scheme="dark")
        await page.goto(f"{url}/dashboard/events?state=dead")
        await page.screenshot(path=DOCS / "dashboard-dead.png")


if __name__ == "__main__":
    asyncio.run(main())
