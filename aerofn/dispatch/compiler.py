"""Compiles versions that were registered, whoever registered them, and says ready or failed."""

import contextlib
from collections.abc import Callable
from functools import partial

import structlog

from aerofn.db.functions import Compile
from aerofn.dispatch.contract import Sandbox, Versions
from aerofn.errors import AeroFnError, DeployError

log = structlog.get_logger(__name__)
_LONGEST_S = 120.0


class Compiler:
    """Takes on what no other node compiles.

    Args:
        node: this node's id while its lock is held, else None: then it takes on nothing.
    """

    def __init__(self, sandbox: Sandbox, versions: Versions, node: Callable[[], int | None]) -> None:
        self._sandbox = sandbox
        self._node = node
        self._versions = versions
        self._along_with: set[int] = set()

    async def run_all(self) -> None:
        """Compile until nothing waits.

        Raises:
            DatabaseUnavailable: try again later.
        """
        while (node := self._node()) is not None:
            taken = await self._versions.lease_compile(node, _LONGEST_S)
            if taken is None:
                await self._along()
                return
            problem = await self._problem(taken)
            await self._versions.compiled(taken.version, problem)
            log.info("compiled", version=taken.version, problem=problem and problem.message)

    async def _along(self) -> None:
        """What others compile will soon run here too: compiled at the same time, its first callers need not wait."""
        others = await self._versions.compiled_elsewhere()
        fresh = [version for version in others if version.version not in self._along_with]
        self._along_with = {version.version for version in others}
        for version in fresh:
            with contextlib.suppress(AeroFnError):  # whoever took it on tells
                await self._sandbox.load(version.digest, partial(self._versions.component, version.digest))

    async def _problem(self, taken: Compile) -> AeroFnError | None:
        wasm = await self._versions.component(taken.digest)
        try:
            await self._sandbox.prepare(wasm)
        except DeployError as error:
            return error
        return None
