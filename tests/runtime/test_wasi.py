"""Our parts of WASI: whichever 0.2 a guest names, it gets them. wasmtime's would end the process, or hold it up."""

import pytest
import wat
from sandbox_kit import Sandbox
from wasmtime import wat2wasm

from aerofn.errors import InvalidComponent
from aerofn.model import Outcome
from aerofn.runtime import binary
from aerofn.runtime.wasi import MAX_RANDOM

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


RANDOM = [("random", "get-random-bytes"), ("insecure", "get-insecure-random-bytes")]


@pytest.mark.parametrize(("interface", "name"), RANDOM)
async def test_random_bytes_are_as_many_as_asked_for_and_new_each_time(
    sandbox: Sandbox, interface: str, name: str
) -> None:
    for size in (0, 1, 32, 4095, 4097, MAX_RANDOM):
        guest = await sandbox.load(wat.random_bytes(size, interface, name))
        drawn = [(await sandbox.run(guest)).output for _ in range(3)]
        assert [len(letters or b"") for letters in drawn] == [size] * 3
        assert size < 32 or len(set(drawn)) == 3
    longest = drawn[0] or b""
    assert longest.find(longest[-32:]) == MAX_RANDOM - 32  # no piece is given twice
    assert set(longest) == set(b"abcdefghijklmnop")


@pytest.mark.parametrize(("interface", "name"), RANDOM)
@pytest.mark.parametrize("size", [MAX_RANDOM + 1, 50_000_000, 1 << 63])
async def test_more_random_bytes_at_once_are_refused(
    sandbox: Sandbox, interface: str, name: str, size: int
) -> None:
    run = await sandbox.run(wat.random_bytes(size, interface, name), memory_mb=128)
    assert (run.outcome, run.error and run.error.code) == (Outcome.TRAP, "wasi_random")
    assert run.error is not None
    assert "65,536" in run.error.message
    assert not run.error.retry
    # of the processor's time, nothing: wasmtime's own took a second to fill 50 MB
    assert run.usage.cpu_ms < 200


async def test_all_else_of_wasis_randomness_is_wasmtimes(sandbox: Sandbox) -> None:
    guest = wat.component(
        "(if (i64.eq (call $draw) (call $draw)) (then unreachable))",
        imports="""(import "wasi:random/random@0.2.0" (instance $random (export "get-random-u64" (func (result u64)))))
          (core func $draw (canon lower (func $random "get-random-u64")))
          (core instance $wasi (export "draw" (func $draw)))""",
        core_imports='(import "wasi" "draw" (func $draw (result i64)))',
        arguments='(with "wasi" (instance $wasi))',
    )
    assert (await sandbox.run(guest)).outcome is Outcome.SUCCESS


async def test_random_bytes_of_another_type_are_refused(sandbox: Sandbox) -> None:
    with pytest.raises(InvalidComponent, match="do not have the types"):
        await sandbox.load(wat.random_bytes(1, wanted="s64"))


def custom(name: bytes, content: bytes) -> bytes:
    return binary.section(0, binary.name(name) + content)


def made_by(*tools: bytes) -> bytes:
    """A `producers` section."""
    named = b"".join(binary.name(tool) + binary.name(b"1.0") for tool in tools)
    return custom(b"producers", b"\x01" + binary.name(b"processed-by") + binary.number(len(tools)) + named)


@pytest.mark.parametrize(
    "mark",
    [
        b"",
        custom(b"x", b"componentize-py component-init-transform"),
        custom(b"componentize-py", b""),
        custom(b"producers", b"componentize-py component-init-transform"),
        made_by(b"componentize-js", b"not component-init-transform"),
        binary.section(1, wat2wasm("(module)") + made_by(b"component-init-transform")),
    ],
    ids=["none", "somewhere", "a name", "no producers", "others", "within"],
)
async def test_sockets_are_for_pythons_tools_alone(sandbox: Sandbox, mark: bytes) -> None:
    with pytest.raises(InvalidComponent, match="wasi:sockets/"):
        await sandbox.load(wat.networked(wat.LOOKS_UP) + mark)


async def test_who_forges_the_mark_of_pythons_tools_has_no_network(sandbox: Sandbox) -> None:
    forged = wat.networked(wat.LOOKS_UP) + made_by(b"wit-component", b"component-init-transform")
    run = await sandbox.run(forged)
    assert run.outcome is Outcome.SUCCESS, run.error
