"""The runtime's settings, each with its unit. Frozen: a runtime is made anew to change one."""

import hashlib
from pathlib import Path

import msgspec

from aerofn.runtime.ffi import WASMTIME_VERSION

# What one guest may consist of, beside its memory: fixed, so that what was deployed runs everywhere.
MAX_MEMORIES = 4  # which share the memory limit; a JavaScript guest has two, one of them of size 0
MAX_TABLES = 8
MAX_TABLE_ELEMENTS = 100_000  # in each table
MAX_INSTANCES = 10_000  # of core modules in a store; the pool's bound on one component is the real one
MAX_CORE_INSTANCES = 100  # componentize-py's and componentize-qjs' guests have about 40


class RuntimeConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How the sandbox compiles, caches and runs components.

    Attributes:
        cache_dir: where compiled components are kept; made with mode 0700, for this service alone.
        cache_bytes: the most that its files may have together; what was not used for longest goes first.
        slice_ms: how long a guest may hold a thread before it must give way (milliseconds).
        worker_threads: threads that run guests which would hold up the loop.
        max_output_bytes: the largest result a function may return.
        max_query_bytes: the most that a statement's text and parameters may have together.
        max_request_bytes: the most that the HTTP requests of one call may have together, as the guest writes them.
        max_component_bytes: the largest component that can be deployed.
        max_instances: invocations in flight at once, in this process.
        max_loaded: compiled components kept in memory; the least recently used goes first.
        compile_timeout_s: CPU time of one compilation on each of its threads (seconds); waiting for it, it may take
            a few times as long.
        compile_memory_mb: memory of one compilation (mebibytes).
    """

    cache_dir: Path
    cache_bytes: int = 4 << 30
    slice_ms: int = 5
    worker_threads: int = 2
    max_output_bytes: int = 6 << 20
    max_query_bytes: int = 6 << 20
    max_request_bytes: int = 25 << 20
    max_component_bytes: int = 64 << 20
    max_instances: int = 10_000
    max_loaded: int = 256
    compile_timeout_s: int = 60
    compile_memory_mb: int = 2048


# What shapes machine code, beside wasmtime's version and the numbers below, and what is done and checked before.
# Whoever changes a feature of the engine, or how a component is read, operated or checked, changes this by hand.
CODE_FORMAT = "aerofn-1 epoch component-async no-gc no-threads no-memory64 surgery-2 names-1 cores-1 checks-1"
WASM_STACK = 512 << 10
FIBER_STACK = 1 << 20
RESERVED = 4 << 30  # addresses of each memory


def fingerprint() -> bytes:
    """What compiled code depends on: files of another fingerprint are never loaded."""
    numbers = (
        WASM_STACK, FIBER_STACK, RESERVED,
        MAX_MEMORIES, MAX_TABLES, MAX_TABLE_ELEMENTS, MAX_CORE_INSTANCES,
    )  # fmt: skip
    return hashlib.sha256(f"{WASMTIME_VERSION}|{CODE_FORMAT}|{numbers}".encode()).digest()[:8]
