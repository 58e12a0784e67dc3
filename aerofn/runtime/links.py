"""Linkers of components that share core modules, and those modules as machine code: one of each for all that use it."""

from collections.abc import Mapping
from pathlib import Path
from weakref import WeakValueDictionary

from wasmtime import Module, WasmtimeError
from wasmtime.component import Linker

from aerofn.runtime import ffi
from aerofn.runtime.linker import add_cores, linker_for
from aerofn.runtime.tier import Tier


class CannotLoad(Exception):
    """Wasmtime does not take a file of machine code."""


class Link:
    """A linker that has some core modules; it and they are freed when nobody holds this."""

    def __init__(self, linker: Linker, modules: list[Module]) -> None:
        self._linker = linker
        self._modules = modules
        self.at = ffi.address_of(linker.ptr())


class Links:
    """All that are in use, by tier and core modules."""

    def __init__(self) -> None:
        self._links: WeakValueDictionary[tuple[str, ...], Link] = WeakValueDictionary()
        self._modules: WeakValueDictionary[tuple[str, str], Module] = WeakValueDictionary()

    def link(self, tier: Tier, cores: Mapping[str, Path]) -> Link:
        """The one of a tier's components with these core modules, by their digests in hex.

        Raises:
            CannotLoad: one of their files cannot be loaded.
        """
        key = (tier.name, *sorted(cores))
        link = self._links.get(key)
        if link is None:
            modules = {digest: self._module(tier, digest, path) for digest, path in cores.items()}
            linker = linker_for(tier.engine)
            add_cores(linker, modules)
            link = self._links[key] = Link(linker, list(modules.values()))
        return link

    def _module(self, tier: Tier, digest: str, path: Path) -> Module:
        module = self._modules.get((tier.name, digest))
        if module is None:
            try:
                module = Module.deserialize_file(tier.engine, str(path))
            except WasmtimeError as error:
                raise CannotLoad(str(error)) from None
            self._modules[tier.name, digest] = module
        return module
