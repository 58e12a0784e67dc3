"""Compiles versions that were registered, whoever registered them, and says ready or failed."""

import structlog

from aerofn.db.functions import Compile
from aerofn.dispatch.contract import Sandbox, Versions
from aerofn.errors import AeroFnError, DeployError

log = structlog.get_logger(__name__)
_LONGEST_S = 120.0


class Compiler:
    """Takes on what no other node compiles."""

    def __init__(self, sandbox: Sandbox, versions: Versions) -> None:
        self._sandbox = sandbox
        self._versions = versions

    async def run_all(self) -> None:
        """Compile until nothing waits.

        Raises:
            DatabaseUnavailable: try again later.
        """
        while (taken := await self._versions.lease_compile(_LONGEST_S)) is not None:
            problem = await self._problem(taken)
            await self._versions.compiled(taken.version, problem)
            log.info("compiled", version=taken.version, problem=problem and problem.message)

    async def _problem(self, taken: Compile) -> AeroFnError | None:
        wasm = await self._versions.component(taken.digest)
        try:
            await self._sandbox.prepare(wasm)
        except DeployError as error:
            return error
        return None
