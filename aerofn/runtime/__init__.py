"""The sandbox: WebAssembly components as asyncio tasks, each run in a fresh instance with hard limits.

`Runtime` deploys (`prepare`), loads and runs components; `Host` is what a run may reach. Names are loaded
when first used: the compiler's process lives in this package too, and must start fast.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aerofn.runtime.components import Component
    from aerofn.runtime.config import RuntimeConfig
    from aerofn.runtime.host import Host
    from aerofn.runtime.runtime import Runtime

__all__ = ["Component", "Host", "Runtime", "RuntimeConfig"]

_HOMES = {"Component": "components", "Host": "host", "Runtime": "runtime", "RuntimeConfig": "config"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib  # noqa: PLC0415

    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
