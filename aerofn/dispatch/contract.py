"""What dispatch needs of the layers below; the composition root hands it over."""

from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Any, Protocol

from aerofn.db.events import Lease
from aerofn.db.functions import Compile
from aerofn.db.results import Kept
from aerofn.errors import AeroFnError
from aerofn.model import Caller, Event, Limits, LogLine, Record, Run, Version
from aerofn.tracing import Trace

# Waits until the leases of an invocation's events are on the database's disk.
Secured = Callable[[], Awaitable[None]]


class Host(Protocol):
    """One invocation's way to the world; see `aerofn.bridge.host`."""

    failure: AeroFnError | None
    secured: Secured | None

    @property
    def logs(self) -> list[LogLine]: ...  # noqa: D102
    @property
    def queries(self) -> int: ...  # noqa: D102
    @property
    def in_transaction(self) -> bool: ...  # noqa: D102
    @property
    def wrote(self) -> bool: ...  # noqa: D102
    def leave(self) -> bool: ...  # noqa: D102
    async def commit(self, leases: Sequence[Lease], kept: Kept | None) -> None: ...  # noqa: D102
    async def rollback(self) -> None: ...  # noqa: D102
    def abandon(self) -> None: ...  # noqa: D102
    def redacted(self, run: Run) -> Run: ...  # noqa: D102


class Hosts(Protocol):
    """Makes hosts; see `aerofn.bridge.host.Bridge`."""

    async def host(  # noqa: D102
        self, version: Version, caller: Caller, depth: int = 0, trace: Trace | None = None
    ) -> Any: ...
    def shared(self, version: Version, caller: Caller, depth: int) -> Any: ...  # noqa: D102
    async def member(self, version: Version, shared: Any, trace: Trace | None = None) -> Any: ...  # noqa: D102


class Deliveries(Protocol):
    """Sends what functions left to be sent; see `aerofn.bridge.host.Bridge`."""

    def described(self, payload: bytes) -> str: ...  # noqa: D102
    async def deliver(self, version: Version, payload: bytes, trace: Trace | None = None) -> int: ...  # noqa: D102


class Sandbox(Protocol):
    """Runs components; see `aerofn.runtime.Runtime`."""

    async def prepare(self, wasm: bytes) -> bytes: ...  # noqa: D102
    async def load(self, digest: bytes, fetch: Callable[[], Awaitable[bytes]]) -> Any: ...  # noqa: D102
    async def run(  # noqa: D102
        self, component: Any, event: bytes, host: Any, limits: Limits, owner: Hashable
    ) -> Run: ...
    def make_ready(self, component: Any, limits: Limits) -> None: ...  # noqa: D102


class Registry(Protocol):
    """Knows functions; see `aerofn.db.functions.Functions`."""

    async def active(self, name: str) -> Version: ...  # noqa: D102
    async def component(self, digest: bytes) -> bytes: ...  # noqa: D102


class Versions(Protocol):
    """Versions to compile; see `aerofn.db.functions.Functions`."""

    async def component(self, digest: bytes) -> bytes: ...  # noqa: D102
    async def lease_compile(self, node: int, seconds: float) -> Compile | None: ...  # noqa: D102
    async def compiled_elsewhere(self) -> list[Compile]: ...  # noqa: D102
    async def compiled(self, version: int, problem: AeroFnError | None) -> None: ...  # noqa: D102


class Queue(Protocol):
    """Leases and settles events; see `aerofn.db.events.Events`."""

    async def lease(self, node: int, most: int, seconds: float) -> list[Event]: ...  # noqa: D102
    async def secure(self) -> None: ...  # noqa: D102
    async def complete(self, leases: Sequence[Lease]) -> set[int]: ...  # noqa: D102
    async def retry(self, lease: Lease, seconds: float, error: dict[str, Any]) -> None: ...  # noqa: D102
    async def bury(self, lease: Lease, error: dict[str, Any]) -> None: ...  # noqa: D102
    async def give_back(self, leases: Sequence[Lease]) -> None: ...  # noqa: D102
    async def gone(self) -> frozenset[int]: ...  # noqa: D102
    async def reclaim(self) -> int: ...  # noqa: D102
    async def next_due(self) -> float | None: ...  # noqa: D102


RecordSink = Callable[[Record], None]
