"""That whichever WASI 0.2 a guest names, our parts of it are what it gets: wasmtime's would end the process."""

import wat
from sandbox_kit import Sandbox

from aerofn.model import Outcome

VERSIONS = range(95)  # one for each printable character, with which an event chooses


def every_clock() -> bytes:
    """Waits by the clock of the patch version that its event says."""
    imports = [
        '(import "wasi:io/poll@0.2.0" (instance $poll (export "pollable" (type $p (sub resource)))))',
        '(alias export $poll "pollable" (type $pollable))',
    ]
    for patch in VERSIONS:
        imports.append(f"""(import "wasi:clocks/monotonic-clock@0.2.{patch}" (instance $clock{patch}
          (alias outer 1 $pollable (type $p)) (export "pollable" (type $q (eq $p)))
          (export "subscribe-duration" (func (param "when" u64) (result (own $q))))))
        (core func $subscribe{patch} (canon lower (func $clock{patch} "subscribe-duration")))""")
    exports = " ".join(f'(export "{patch}" (func $subscribe{patch}))' for patch in VERSIONS)
    functions = " ".join(
        f'(import "wasi" "{patch}" (func $subscribe{patch} (param i64) (result i32)))' for patch in VERSIONS
    )
    table = " ".join(f"$subscribe{patch}" for patch in VERSIONS)
    return wat.component(
        """(drop (call_indirect (param i64) (result i32)
          (i64.const 1) (i32.sub (i32.load8_u (local.get 0)) (i32.const 32))))""",
        fields=f"(table funcref (elem {table}))",
        imports=f"{' '.join(imports)} (core instance $wasi {exports})",
        core_imports=functions,
        arguments='(with "wasi" (instance $wasi))',
    )


async def test_every_patch_version_of_the_clock_is_ours(sandbox: Sandbox) -> None:
    component = await sandbox.load(every_clock())
    for patch in VERSIONS:
        run = await sandbox.run(component, bytes([32 + patch]))
        assert (run.outcome, run.error and run.error.code) == (Outcome.TRAP, "wasi_sleep"), patch
