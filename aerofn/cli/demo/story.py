"""What the demo does, in order: register, attach, insert, invoke over HTTP, look at the records, serve."""

import time
from pathlib import Path

from aerofn import sql
from aerofn.app import Service
from aerofn.cli.connection import connected
from aerofn.cli.demo.call import Call
from aerofn.cli.demo.stage import Stage
from aerofn.cli.demo.watch import Seen, Watch
from aerofn.cli.live import live
from aerofn.cli.place import Place
from aerofn.db.migrate import migrate
from aerofn.db.pool import Connection
from aerofn.errors import AeroFnError, Conflict
from aerofn.settings import Settings
from aerofn.sql import share

NAME = "reduce-stock"
WAIT_S = 60.0
STORY = sql.Queries(
    "story",
    sql.parse_queries("story", Path(__file__).with_name("story.sql").read_text(encoding="utf-8")),
)
_PSQL_BYTES = "decode(:'wasm', 'base64')"


class Story:
    """One telling of it."""

    def __init__(self, place: Place, stage: Stage) -> None:
        self._place = place
        self._stage = stage
        self._watch = Watch()
        self._waits: dict[str, float] = {}
        self.told = False

    async def tell(self, *, once: bool) -> None:
        """All of it; unless `once`, it then serves until it is cancelled.

        Raises:
            AeroFnError: something did not come out as it should.
        """
        began = time.perf_counter()
        settings = self._place.settings()
        await self._prepare(settings)
        node_of = live(settings, env={}, on_record=self._watch.record, on_failure=self._watch.failed)
        async with node_of as node, connected(self._place.url) as db:
            version = "{0.major}.{0.micro}".format(db.get_server_version())
            self._place.write_environment(settings, node.url)
            took = time.perf_counter() - began
            self._stage.note(
                f"PostgreSQL {version} and one node, all below {self._place.directory}/ ({took:.1f} s)"
            )
            await self._register(node.service, db)
            await self._attach(db)
            await self._order(node.service, db)
            await self._call(node.url)
            self._look()
            self.told = True
            if not once:
                await self._serve(node.url)

    async def _prepare(self, settings: Settings) -> None:
        await self._place.make_database()
        async with connected(self._place.url) as db:
            await migrate(db, settings)
            if await db.fetchval(STORY.in_use):
                raise Conflict(
                    f"a service runs on the demo's database in {self._place.directory} already",
                    hint="use that one, or stop it first",
                )
            async with db.transaction():
                await db.execute(STORY.reset)

    async def _register(self, service: Service, db: Connection) -> None:
        file = share("examples") / NAME / f"{NAME}.wasm"
        self._stage.step("Register a function", f"{NAME}.js, built to WebAssembly")
        self._stage.sql(
            f"\\set wasm `base64 < {_short(file)}`", f"{STORY.register.format(wasm=_PSQL_BYTES)};"
        )
        began = time.perf_counter()
        number = await db.fetchval(STORY.register.format(wasm="$1"), file.read_bytes())
        status = await service.parts.functions.settled(NAME, number, WAIT_S)
        if status.status != "ready":
            raise AeroFnError(f"function {NAME} is {status.status}", detail=str(status.error or ""))
        self._stage.good(f"version {number} is compiled and live ({time.perf_counter() - began:.2f} s)")

    async def _attach(self, db: Connection) -> None:
        self._stage.step(
            "Attach it to a table", "for every new order, with the rights of service_role and no others"
        )
        self._stage.sql(f"{STORY.grant};", f"{STORY.attach};")
        await db.execute(STORY.grant)
        self._stage.good(f"trigger {await db.fetchval(STORY.attach)}")

    async def _order(self, service: Service, db: Connection) -> None:
        """Insert orders, wait for what they cause, and show it."""
        self._stage.step("Insert orders", "plain SQL: the events are part of the same transaction")
        before = await db.fetch(STORY.products)
        await self._insert(db, STORY.order, 3)
        await service.parts.dispatcher.idle()
        after = await db.fetch(STORY.products)
        self._stage.stock([(row["name"], row["stock"]) for row in before], [row["stock"] for row in after])
        dead = await db.fetchrow(STORY.dead)
        if dead is None:
            raise AeroFnError("the order that is too large was not refused")
        self._stage.answer(False, dead["errors"][-1]["message"])
        self._stage.note(
            f"It wrote nothing. Its event is kept: SELECT aerofn.replay({dead['id']}) runs it again."
        )
        [again] = await self._insert(db, STORY.order_again, 1)
        self._stage.good(
            f"the stock is right {self._waits[again.record.id] + again.record.duration_ms:.1f} ms after the commit, "
            "with connections open and the SQL known"
        )

    async def _insert(self, db: Connection, statement: str, number: int) -> list[Seen]:
        """Insert; the invocations that come of it, with the time from commit to start noted for each."""
        self._stage.sql(f"{statement};")
        known = len(self._waits)
        await db.execute(statement)
        committed = time.time()
        seen = (await self._watch.until(NAME, "row", known + number, WAIT_S))[known:]
        self._waits |= {one.record.id: max(0.0, one.began - committed) * 1000 for one in seen}
        return seen

    async def _call(self, url: str) -> None:
        self._stage.step("Call it over HTTP", "as alice, with a token: role authenticated, granted above")
        call = Call(NAME, {"product_id": 1, "quantity": 3}, "alice")
        self._stage.shell(f". {self._place.environment}\n{call.curl}")
        self._stage.answer(True, await call.answer(self._place, url))
        self._stage.blank()
        self._stage.note("and without a token: role anon, to whom nothing was granted")
        call = call._replace(sub=None)
        self._stage.shell(call.curl)
        self._stage.answer(False, await call.answer(self._place, url))

    def _look(self) -> None:
        self._stage.step("Look at what ran", "kept in aerofn.invocations; or: aerofn invocations")
        self._stage.blank()
        self._stage.runs([(one.record, self._waits.get(one.record.id)) for one in self._watch.seen])

    async def _serve(self, url: str) -> None:
        self._stage.step("Go on by yourself", "in another terminal, here:")
        self._stage.shell(f". {self._place.environment}\npsql $DATABASE_URL")
        self._stage.hints(
            (
                ("HTTP", url),
                ("dashboard", f"{url}/"),
                ("its token", "aerofn token --role service_role"),
                ("try", "INSERT INTO orders (product_id, quantity) VALUES (2, 1);"),
                ("stop", "Ctrl-C here; PostgreSQL stops too"),
            )
        )
        self._stage.blank()
        self._watch.then = self._stage.live
        await self._watch.broken()


def _short(file: Path) -> str:
    """The path as one types it from here."""
    here = Path.cwd()
    return str(file.relative_to(here)) if file.is_relative_to(here) else str(file)
