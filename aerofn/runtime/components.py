"""Compiled components: in memory (least recently used goes first), on disk, or compiled again."""

import asyncio
import contextlib
import ctypes
import hashlib
import logging
import math
import os
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from aerofn.errors import HostError, InvalidComponent
from aerofn.runtime import ffi, sandbox
from aerofn.runtime.anatomy import Anatomy
from aerofn.runtime.compiler import BUSY, Compiler
from aerofn.runtime.config import (
    MAX_CORE_INSTANCES,
    MAX_INSTANCES,
    MAX_MEMORIES,
    MAX_TABLE_ELEMENTS,
    MAX_TABLES,
    RuntimeConfig,
)
from aerofn.runtime.cores import core_file
from aerofn.runtime.links import CannotLoad, Link, Links
from aerofn.runtime.oversized import Most
from aerofn.runtime.surgery import PAGES_EXPORT
from aerofn.runtime.tier import Tier, Tiers
from aerofn.runtime.vault import CodeFile, Vault

_log = logging.getLogger("aerofn.runtime")
HOT = 3  # so much heat, and runs begin on a worker: those of a component that nobody knows yet, too
_UNKNOWN_NS = 500_000
_CORE = b"core"  # what is on the label of a core module's machine code


class Code:
    """A component's machine code as one tier's engine has it: `plan` is what its runs start by."""

    __slots__ = ("_at", "_exports", "_link", "_tier", "plan")

    def __init__(self, tier: Tier, path: Path, anatomy: Anatomy, link: Link, *, most: Most) -> None:
        self._at = self.plan = 0
        self._exports: list[int] = []
        self._tier = tier  # its engine outlives the code
        self._link = link  # the linker that has the core modules it shares
        self._at = _deserialize(tier.engine_at, path)
        handle = self._export(b"handle")
        pages = self._export(PAGES_EXPORT) if anatomy.tells_pages else 0
        self.plan = sandbox.plan_new(
            tier.engine_at, tier.ticker.at, link.at, self._at, handle, pages,
            MAX_TABLE_ELEMENTS, MAX_INSTANCES, MAX_TABLES, anatomy.memories, most.query, most.request,
            anatomy.wasi,
        )  # fmt: skip
        if not self.plan:
            raise CannotLoad("the system gives AeroFn no memory for it")

    def _export(self, name: bytes) -> int:
        index: int | None = ffi.get_export_index(self._at, None, name, len(name))
        if index is None:
            raise CannotLoad(f"it exports no {name.decode()}")
        self._exports.append(index)
        return index

    def __del__(self) -> None:
        if self.plan:
            sandbox.plan_delete(self.plan)
        for index in self._exports:
            ffi.export_index_delete(index)
        if self._at:
            ffi.component_delete(self._at)


@dataclass(frozen=True)
class Files:
    """Machine code, kept open: it may go from the cache directory meanwhile.

    Attributes:
        code: the component's own.
        cores: that of the core modules it shares, by their digests in hex.
    """

    code: CodeFile
    cores: Mapping[str, CodeFile]

    @property
    def size(self) -> int:
        """Bytes of all together."""
        return sum(file.size for file in (self.code, *self.cores.values()))


class Component:
    """A compiled component, ready to run. Freed when the last run that holds it is over."""

    __slots__ = (
        "_codes", "_files", "_links", "anatomy", "digest", "ended", "heat", "idled", "most", "stubborn", "takes_ns",
        "tier", "waits",
    )  # fmt: skip

    def __init__(
        self, tiers: Tiers, links: Links, digest: bytes, files: Files, anatomy: Anatomy, *, most: Most
    ) -> None:
        self.digest = digest
        self.anatomy = anatomy
        self.most = most
        # perf_counter: when its last run ended, when the loop last had time to make a sandbox for the next
        self.ended, self.idled = 0.0, -math.inf
        self.heat = HOT  # how often its runs computed for more than half a slice lately
        self.stubborn = (
            False  # it does what takes several slices and cannot be interrupted: never on the loop
        )
        self.waits = False  # its last run had to wait for its host
        self.takes_ns = _UNKNOWN_NS  # of a processor's time: the longest of its last runs, by and by less
        self._links = links
        self._files = files
        self.tier = tiers.first(files.size)  # where its runs live if there is room
        self._codes = {self.tier.name: self._load(self.tier)}

    def ran(self, ns: int) -> None:
        """A run took so long. A long one counts for a while, so that short ones between do not hide it."""
        if ns:
            self.takes_ns = max(ns, self.takes_ns * 7 // 8)

    def _load(self, tier: Tier) -> Code:
        link = self._links.link(tier, {digest: file.path for digest, file in self._files.cores.items()})
        return Code(tier, self._files.code.path, self.anatomy, link, most=self.most)

    def code(self, tier: Tier) -> Code:
        """The code for `tier`, loaded when first needed: a millisecond, for only crowds need the second tier."""
        code = self._codes.get(tier.name)
        if code is None:
            code = self._codes[tier.name] = self._load(tier)
        return code


def _deserialize(engine_at: int, path: Path) -> int:
    out = ctypes.c_void_p()
    error = ffi.component_deserialize_file(engine_at, bytes(path), ctypes.addressof(out))
    if error:
        raise CannotLoad(ffi.take_error(error))
    return out.value or 0


class Components:
    """All components of one runtime."""

    def __init__(self, tiers: Tiers, config: RuntimeConfig) -> None:
        self._tiers = tiers
        self._config = config
        self._most = Most(config.max_query_bytes, config.max_request_bytes)
        self._links = Links()
        self._vault = Vault(config.cache_dir)
        self._compiler = Compiler(config)
        self._loaded: OrderedDict[bytes, Component] = OrderedDict()
        self._loading: dict[bytes, asyncio.Task[Component]] = {}

    def __len__(self) -> int:
        return len(self._loaded)

    async def prepare(self, wasm: bytes, digest: bytes) -> None:
        """Check, compile and keep a component; nothing to do if it is kept already."""
        if digest in self._loaded:
            return
        component = await asyncio.to_thread(self._find, digest)
        if component is None:
            component = await self._compiled(wasm, digest)
        if component is None:
            raise InvalidComponent(
                "The component needs more than a sandbox offers.",
                detail=f"Limits: {MAX_MEMORIES} memories, {MAX_TABLES} tables, {MAX_CORE_INSTANCES} core instances.",
            )
        self._keep(component)

    async def load(self, digest: bytes, fetch: Callable[[], Awaitable[bytes]]) -> Component:
        """The component of `digest`; those who ask at the same time share the work."""
        component = self._loaded.get(digest)
        if component is not None:
            self._loaded.move_to_end(digest)
            return component
        task = self._loading.get(digest)
        if task is None:
            task = self._loading[digest] = asyncio.create_task(self._load(digest, fetch))
            task.add_done_callback(lambda ended: self._ended(digest, ended))
        return await asyncio.shield(task)

    async def _load(self, digest: bytes, fetch: Callable[[], Awaitable[bytes]]) -> Component:
        found = await asyncio.to_thread(self._find, digest)
        if found is None:
            wasm = await fetch()
            await asyncio.to_thread(check_digest, wasm, digest)
            found = await self._compiled(wasm, digest)
        if found is None:
            raise HostError("A compiled component cannot be loaded from the cache directory.")
        self._keep(found)
        return found

    def _ended(self, digest: bytes, task: asyncio.Task[Component]) -> None:
        self._loading.pop(digest, None)
        if not task.cancelled():
            task.exception()  # whoever asked may be gone

    def _find(self, digest: bytes) -> Component | None:
        found = self._vault.find(digest)
        if found is None:
            return None
        file, text = found
        try:
            anatomy = msgspec.json.decode(text, type=Anatomy)
        except msgspec.DecodeError as error:
            _log.warning("the label of the compiled component %s cannot be read: %s", digest.hex(), error)
            return None
        cores = self._cores(anatomy.cores)
        return (
            None if len(cores) < len(anatomy.cores) else self._loadable(digest, Files(file, cores), anatomy)
        )

    def _cores(self, digests: Iterable[str]) -> dict[str, CodeFile]:
        """Those core modules that are kept."""
        found = {digest: self._vault.find(bytes.fromhex(digest)) for digest in digests}
        return {digest: kept[0] for digest, kept in found.items() if kept is not None and kept[1] == _CORE}

    def _loadable(self, digest: bytes, files: Files, anatomy: Anatomy) -> Component | None:
        try:
            return Component(self._tiers, self._links, digest, files, anatomy, most=self._most)
        except (CannotLoad, OSError) as error:
            _log.warning("the compiled component %s cannot be loaded: %s", digest.hex(), error)
            return None

    async def _compiled(self, wasm: bytes, digest: bytes) -> Component | None:
        """Compile, and keep it in the cache directory, or in memory alone where that takes nothing; None as _find()."""
        try:
            return await self._compile(wasm, digest)
        except OSError as error:
            if not hasattr(os, "memfd_create"):
                raise HostError("A compiled component cannot be written.", detail=str(error)) from error
            _log.error("the cache directory takes nothing, so code is kept in memory: %s", error)
            return await self._compile_in_memory(wasm, digest)

    async def _compile_in_memory(self, wasm: bytes, digest: bytes) -> Component | None:
        file = CodeFile.in_memory()
        anatomy = await self._compiler.compile(wasm, file.path)
        return self._loadable(digest, Files(file, {}), anatomy)

    async def _compile(self, wasm: bytes, digest: bytes) -> Component | None:
        async with self._vault.alone(digest, self._config.compile_timeout_s * BUSY) as waited:
            if waited and (found := await asyncio.to_thread(self._find, digest)) is not None:
                return found  # another node on this machine has compiled it meanwhile
            files, anatomy = await self._compile_files(wasm, digest)
        await asyncio.to_thread(self._vault.trim, self._config.cache_bytes)
        return await asyncio.to_thread(self._loadable, digest, files, anatomy)

    async def _compile_files(self, wasm: bytes, digest: bytes) -> tuple[Files, Anatomy]:
        target, cores = self._vault.scratch(), {}

        async def known(digests: list[str]) -> dict[str, Path]:
            cores.update(await asyncio.to_thread(self._cores, digests))
            return {core: self._vault.path(bytes.fromhex(core)) for core in cores}

        try:
            anatomy = await self._compiler.compile(wasm, target, known)
            return await asyncio.to_thread(self._keep_files, digest, target, anatomy, cores), anatomy
        finally:
            for left in target.parent.glob(f"{target.name}*"):
                with contextlib.suppress(OSError):
                    left.unlink()

    def _keep_files(
        self, digest: bytes, target: Path, anatomy: Anatomy, known: Mapping[str, CodeFile]
    ) -> Files:
        cores = {
            core: self._vault.keep(bytes.fromhex(core), fresh, _CORE)
            if (fresh := core_file(target, core)).exists()
            else known[core]
            for core in anatomy.cores
        }
        return Files(self._vault.keep(digest, target, msgspec.json.encode(anatomy)), cores)

    def _keep(self, component: Component) -> None:
        self._loaded[component.digest] = component
        while len(self._loaded) > self._config.max_loaded:
            self._loaded.popitem(last=False)

    def tidy(self) -> None:
        """Mark what is loaded as used, and trim the cache directory; in a thread."""
        cores = {core for component in list(self._loaded.values()) for core in component.anatomy.cores}
        self._vault.used([*self._loaded, *map(bytes.fromhex, cores)])
        self._vault.trim(self._config.cache_bytes)

    def close(self) -> None:
        """Forget all that is loaded; each is freed when its last run is over."""
        for task in self._loading.values():
            task.cancel()
        self._loaded.clear()


def check_digest(wasm: bytes, digest: bytes) -> None:
    """Refuse bytes that are not those that were deployed."""
    if hashlib.sha256(wasm).digest() != digest:
        raise InvalidComponent("The stored component is not the one that was deployed: its digest differs.")
