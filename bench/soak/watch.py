"""Memory of the nodes, size of the tables, and work done, every few seconds."""

import asyncio
import contextlib
from collections.abc import Callable
from statistics import median
from typing import Any

import msgspec

from bench.soak.nodes import Nodes
from bench.soak.postgres import AWAY, Postgres, Q

_EVERY_S = 5.0


class Sample(msgspec.Struct):
    """One look: seconds since the start; effects so far; MB by node; bytes and dead rows by table."""

    at: float
    effects: int | None
    memory_mb: dict[str, float]
    tables: dict[str, dict[str, int]]


class Watch:
    """Looks until cancelled.

    Args:
        told: called with each sample.
    """

    def __init__(
        self, nodes: Nodes, postgres: Postgres, now: Callable[[], float], told: Callable[[Sample], None]
    ) -> None:
        self.samples: list[Sample] = []
        self._nodes = nodes
        self._postgres = postgres
        self._now = now
        self._told = told

    async def run(self) -> None:
        """Look every few seconds."""
        while True:
            await self.look()
            await asyncio.sleep(_EVERY_S)

    async def look(self) -> None:
        """Take one sample; what cannot be seen now is left out."""
        memory = {node.name: await asyncio.to_thread(node.memory_mb) for node in self._nodes.all}
        effects, tables = None, {}
        with contextlib.suppress(*AWAY):
            async with asyncio.timeout(3):
                effects = (await self._postgres.fetch(Q.progress))[0]["last_value"]
                tables = _by_name(await self._postgres.fetch(Q.sizes))
        self.samples.append(Sample(round(self._now(), 1), effects, memory, tables))
        self._told(self.samples[-1])

    def growth_mb(self, node: str) -> float:
        """How much more a node that was never started anew holds in the last quarter than in the second one."""
        held = [sample.memory_mb[node] for sample in self.samples if sample.memory_mb.get(node)]
        quarter = len(held) // 4
        if not quarter:
            return 0.0
        return round(median(held[-quarter:]) - median(held[quarter : 2 * quarter]), 1)

    def most(self, table: str, figure: str, share: slice) -> int:
        """The largest figure of a table (its partitions together) in a share of the samples, such as the last half."""
        seen = [sample.tables for sample in self.samples if sample.tables]
        return max((_of(tables, table, figure) for tables in seen[share]), default=0)


def _of(tables: dict[str, dict[str, int]], table: str, figure: str) -> int:
    return sum(figures[figure] for name, figures in tables.items() if name.startswith(table))


def _by_name(rows: list[Any]) -> dict[str, dict[str, int]]:
    return {row["name"]: {"bytes": row["bytes"], "rows": row["rows"], "dead": row["dead"]} for row in rows}
