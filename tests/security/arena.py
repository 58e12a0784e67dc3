"""The place of the attacks: a whole node over the victim's database, and a function that sends any SQL."""

import asyncio
import json
import time
import uuid
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
from msgspec import Raw
from msgspec.structs import replace

from aerofn.app import Service
from aerofn.db import logins
from aerofn.db.migrate import migrate
from aerofn.dispatch.requests import HttpRequest
from aerofn.model import Caller, Limits, Outcome

HERE = Path(__file__).parent
TIMEOUT_S = 1.0
PATIENCE_S = 60.0  # who needs this long is held up by what it does, not by a busy machine
MALLORY, VICTIM, HONEST = "mallory", "victim", "honest"


class Told(NamedTuple):
    """What an invocation saw: its rows, its errors, and the seconds it took."""

    rows: str
    errors: str
    seconds: float

    @property
    def timed_out(self) -> bool:
        return self.errors.startswith("timeout: ")


class Attack(NamedTuple):
    """An attack of attacks.json or own_attacks.json.

    Attributes:
        sql: its statements, with `params` for each.
        win: a Python expression, true when it succeeded, of what was seen (`Arena.wins` has the names).
        next: a statement of the invocation that follows on the same connection.
        after: a query of the superuser's, whose rows are seen too.
        fix: what the superuser has to mend after it.
        pg: the one version of PostgreSQL that it is for.
    """

    name: str
    category: str
    sql: list[str]
    params: list[list[Any]]
    win: str
    next: str | None = None
    after: str | None = None
    fix: str | None = None
    pg: int | None = None

    @property
    def limit_s(self) -> float:
        """Its time. Where that is no part of the attack, a busy machine may take its own of it."""
        about_time = self.category == "dos" or {"T", "CT"} & set(compile(self.win, "", "eval").co_names)
        return TIMEOUT_S if about_time else PATIENCE_S


class Fought(NamedTuple):
    """Whether an attack was won, and what did not come to its end in `PATIENCE_S`."""

    won: bool
    hung: str


def attacks(file: str) -> list[Attack]:
    """The attacks of a file."""
    return [Attack(**{"params": [], **fields}) for fields in json.loads((HERE / file).read_text())]


class Arena:
    """A node on a database with the victim's application, hardened or not."""

    def __init__(self, database: Any, guest: bytes, cache: Path, *, hardened: bool) -> None:
        self.database = database
        self.hardened = hardened
        self._guest = guest
        self._turn = asyncio.Lock()
        self._service = Service(
            database.settings(
                cache_dir=cache, harden=hardened, set_request_jwt_claims=True, records_to_stdout=False,
                timeout_ms=int(TIMEOUT_S * 1000), shutdown_grace_s=1, max_waiting=5000,
            ),
            env={},
        )  # fmt: skip

    async def start(self) -> None:
        self.admin = await self.database.connect()
        settings = self._service.settings
        await migrate(self.admin, settings)
        await self.admin.execute((HERE / "victim.sql").read_text())
        await self.admin.execute(f"INSERT INTO notes (owner, body) VALUES ('{HONEST}', 'honest note')")
        await self.admin.execute(f"INSERT INTO todos (owner, title) VALUES ('{HONEST}', 'honest todo')")
        await migrate(self.admin, settings)  # the extensions came after the first time
        await self._service.start()
        await self.admin.execute("SELECT aerofn.register_function('guest', $1)", self._guest)
        while not await self.admin.fetchval("SELECT active_version FROM aerofn.functions"):
            await asyncio.sleep(0.02)
        await self._service.parts.functions.refresh()
        self.logins = await logins.read(self.admin)

    async def stop(self) -> None:
        await self._service.stop()

    async def peer(self, role: str) -> asyncpg.Connection:
        """Another connection of the role's login, with something to hide in its last statement."""
        login = self.logins[role]
        connection = await self.database.connect(user=login.user, password=login.password)
        await connection.execute("SELECT '4111-pan'")
        return connection

    async def send(
        self, role: str, sub: str, statements: list[tuple[str, list[Any]]], limit_s: float = TIMEOUT_S
    ) -> Told:
        """One invocation by real JavaScript."""
        body = Raw(json.dumps({"statements": statements}).encode())
        request = HttpRequest(method="POST", path="", query={}, search="", headers={}, body=body)
        caller = Caller(role, {"sub": sub, "role": role})
        began = time.perf_counter()
        requests = self._service.parts.requests
        version = await requests.admit("guest", caller, "")
        version = replace(version, limits=Limits(int(limit_s * 1000), version.limits.memory_mb))
        completed = await requests.run(version, caller, request, str(uuid.uuid4()))
        seconds = time.perf_counter() - began
        run = completed.run
        if run.outcome is not Outcome.SUCCESS or run.output is None:
            return Told("", f"{run.outcome}: {run.error.message if run.error else ''}", seconds)
        results = json.loads(run.output)["results"]
        rows = [str([tuple(row) for row in result["rows"]]) for result in results if "rows" in result]
        errors = [result["error"] for result in results if "error" in result]
        return Told("\n".join(row for row in rows if row != "[]"), "\n".join(errors), seconds)

    async def fight(self, attack: Attack, role: str, facts: dict[str, Any]) -> Fought:
        """Attack as mallory."""
        params = [*attack.params, *[[]] * len(attack.sql)]
        statements = [
            (text, [facts["STOLEN"] if p == "@STOLEN_DOC" else p for p in given])
            for text, given in zip(attack.sql, params, strict=False)
        ]
        told = await self.send(role, MALLORY, statements, attack.limit_s)
        following = Told("", "", 0)
        if attack.next:  # asked once: after a timeout the next one has another connection
            following = await self.send(role, "stranger", [(attack.next, [])], PATIENCE_S)
        names = {
            **facts, "S": told.rows, "E": told.errors, "T": told.seconds, "CT": told.seconds,
            "N": f"ERR {following.errors}" if following.errors else following.rows,
            "A": await self._after(attack), "BG": "dead" if facts["background"].is_closed() else "alive",
        }  # fmt: skip
        won = bool(eval(attack.win, {}, names))
        if attack.fix:
            async with self._turn:
                await self.admin.execute(attack.fix)
        late = told.timed_out and attack.limit_s == PATIENCE_S
        return Fought(won, "the attack" if late else "who came next" if following.timed_out else "")

    async def _after(self, attack: Attack) -> str:
        if attack.after is None:
            return ""
        async with self._turn:
            return str([tuple(row) for row in await self.admin.fetch(attack.after)])

    async def honest(self) -> None:
        """An honest invocation sees its own rows and nobody else's, whatever goes on beside it."""
        told = await self.send("authenticated", HONEST, [
            ("SELECT owner FROM todos", []), ("SELECT owner FROM notes", []), ("SELECT auth.uid()", []),
        ], PATIENCE_S)  # fmt: skip
        assert (told.rows, told.errors) == ("\n".join([f"[('{HONEST}',)]"] * 3), ""), told
