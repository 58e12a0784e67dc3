"""The workbench for tests that are plain functions: what is asynchronous goes on in a thread of its own."""

import asyncio
import contextlib
import threading
from collections.abc import Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from aerofn.model import Caller
from aerofn.testing import events
from aerofn.testing.host import Fetches
from aerofn.testing.result import Result
from aerofn.testing.workbench import Function, Trial, workbench

T = TypeVar("T")


class Bench:
    """A workbench and its thread; `with Bench(folder) as bench`.

    Args:
        folder: the project's, with its `aerofn.toml`.
        url: the database; else `DATABASE_URL`, else an embedded PostgreSQL below the folder.
    """

    def __init__(self, folder: Path, url: str | None = None) -> None:
        self.folder = folder
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="aerofn bench", daemon=True)
        self._open = contextlib.AsyncExitStack()
        self._url = url

    def __enter__(self) -> "Bench":
        self._thread.start()
        try:
            self._workbench = self.wait(self._open.enter_async_context(workbench(self.folder, self._url)))
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.wait(self._open.aclose())
        finally:
            self._end()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Run it in the bench's thread; what it gives or raises."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def function(self, name: str) -> Function:
        """See `Workbench.function`."""
        return self.wait(self._workbench.function(name))

    @contextlib.contextmanager
    def trial(self) -> Iterator["Db"]:
        """A test's transaction, rolled back at the end."""
        stack = contextlib.AsyncExitStack()
        trial = self.wait(stack.enter_async_context(self._workbench.trial()))
        try:
            yield Db(self, trial)
        finally:
            self.wait(stack.aclose())


class Db:
    """The test's transaction, as the user of the database: sets up what a test needs, and looks at what came of it."""

    def __init__(self, bench: Bench, trial: Trial) -> None:
        self._bench = bench
        self.trial = trial

    def execute(self, statements: str, *values: Any) -> None:
        """Run SQL; several statements if there are no values."""
        self._bench.wait(self.trial.execute(statements, *values))

    def rows(self, query: str, *values: Any) -> list[dict[str, Any]]:
        """The rows of a query, or of a statement with RETURNING, as functions see them (JSON)."""
        return self._bench.wait(self.trial.rows(query, *values))

    def row(self, query: str, *values: Any) -> dict[str, Any]:
        """The only row.

        Raises:
            AssertionError: there is none, or there are more.
        """
        rows = self.rows(query, *values)
        if len(rows) != 1:
            raise AssertionError(f"expected one row, there are {len(rows)}: {query}")
        return rows[0]


class Runnable:
    """A function in a test's transaction.

    `role` and `claims` say whom it acts as (by default its own `run_as`, else `service_role`), `env` what it reads
    of its environment, `fetches` what its requests are answered: see `TestHost`.
    """

    def __init__(self, bench: Bench, db: Db, name: str) -> None:
        self._bench = bench
        self._db = db
        self._function = bench.function(name)

    def row(
        self,
        record: Mapping[str, Any] | None,
        old_record: Mapping[str, Any] | None = None,
        *,
        table: str | None = None,
        **options: Any,
    ) -> Result:
        """Run it for a row that was inserted, changed (with `old_record`) or deleted (without `record`)."""
        return self.event(events.row(record, old_record, table=table), **options)

    def http(self, body: Any = None, *, method: str = "POST", path: str = "", **options: Any) -> Result:
        """Run it for an HTTP request; `query` and `headers` are options too."""
        request = {key: options.pop(key) for key in ("query", "headers") if key in options}
        return self.event(events.http(body, method=method, path=path, **request), **options)

    def invoke(self, payload: Any = None, **options: Any) -> Result:
        """Run it as `aerofn.invoke()` does, or a schedule or webhook with this payload."""
        return self.event(events.invoked(payload), **options)

    def event(
        self,
        event: Mapping[str, Any],
        *,
        role: str | None = None,
        claims: Mapping[str, Any] | None = None,
        env: Mapping[str, str] | None = None,
        fetches: Fetches | None = None,
    ) -> Result:
        """Run it for a whole event."""
        acting = role or self._function.declared.run_as or "service_role"
        caller = Caller(acting, dict(claims or {}))
        work = self._db.trial.run(self._function, event, caller=caller, env=env or {}, fetches=fetches or {})
        return self._bench.wait(work)
