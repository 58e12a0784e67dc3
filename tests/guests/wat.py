"""Components as text: each made of one core module whose `handle` does something first and then answers "ok"."""

from wasmtime import wat2wasm

HOST = """
(import "aerofn:function/host@1.0.0" (instance $host
  (export "log" (func (param "level" string) (param "message" string)))))
"""

SLEEPER = """
(import "wasi:io/poll@0.2.0" (instance $poll
  (export "pollable" (type $p (sub resource)))
  (export "[method]pollable.block" (func (param "self" (borrow $p))))))
(alias export $poll "pollable" (type $pollable))
(import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
  (alias outer 1 $pollable (type $p))
  (export "pollable" (type $q (eq $p)))
  (export "subscribe-duration" (func (param "when" u64) (result (own $q))))))
(core func $subscribe (canon lower (func $clock "subscribe-duration")))
(core func $block (canon lower (func $poll "[method]pollable.block")))
(core instance $wasi (export "subscribe" (func $subscribe)) (export "block" (func $block)))
"""

SLEEPER_IMPORTS = """
(import "wasi" "subscribe" (func $subscribe (param i64) (result i32)))
(import "wasi" "block" (func $block (param i32)))
"""


def component(
    body: str = "",
    *,
    fields: str = "",
    imports: str = "",
    core_imports: str = "",
    arguments: str = "",
    memory: str = "1",
    handle: str = '(param "event" string) (result (result string (error string)))',
    export: str = "handle",
) -> bytes:
    """A component whose core `handle` runs `body` before it answers; the rest fills in its other parts."""
    return bytes(
        wat2wasm(f"""
(component
  {imports}
  (core module $m
    {core_imports}
    (memory (export "memory") {memory})
    (global $top (mut i32) (i32.const 4096))
    (data (i32.const 16) "\\22ok\\22")
    {fields}
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (local $at i32)
      (local.set $at (global.get $top))
      (global.set $top (i32.and (i32.add (i32.add (local.get $at) (local.get 3)) (i32.const 7)) (i32.const -8)))
      (if (i32.gt_u (global.get $top) (i32.shl (memory.size) (i32.const 16)))
        (then (if (i32.eq (i32.const -1) (memory.grow (i32.add (i32.const 1) (i32.shr_u
          (i32.sub (global.get $top) (i32.shl (memory.size) (i32.const 16))) (i32.const 16)))))
          (then unreachable))))
      (local.get $at))
    (func (export "handle") (param i32 i32) (result i32)
      {body}
      (i32.store8 (i32.const 0) (i32.const 0))
      (i32.store (i32.const 4) (i32.const 16))
      (i32.store (i32.const 8) (i32.const 4))
      (i32.const 0)))
  (core instance $i (instantiate $m {arguments}))
  (func (export "{export}") {handle}
    (canon lift (core func $i "handle") (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))
""")
    )


def sleeper(nanoseconds: int) -> bytes:
    """Waits for a WASI clock before it answers."""
    return component(
        f"(call $block (call $subscribe (i64.const {nanoseconds})))",
        imports=SLEEPER,
        core_imports=SLEEPER_IMPORTS,
        arguments='(with "wasi" (instance $wasi))',
    )


def waiter(nanoseconds: int, type_: str = '(param "nanoseconds" u64)', result: str = "") -> bytes:
    """Waits with AeroFn's own clock before it answers."""
    return component(
        f"(call $wait (i64.const {nanoseconds}))",
        imports=f"""
(import "aerofn:function/clock@1.0.0" (instance $clock (export "wait" (func {type_} {result}))))
(core func $wait (canon lower (func $clock "wait")))
(core instance $c (export "wait" (func $wait)))
""",
        core_imports='(import "c" "wait" (func $wait (param i64)))',
        arguments='(with "c" (instance $c))',
    )


LOG = """
(core module $room (memory (export "memory") 1)
  (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 8)))
(core instance $r (instantiate $room))
(core func $log (canon lower (func $host "log") (memory (core memory $r "memory"))))
(core instance $h (export "log" (func $log)))
"""


def logger(body: str, fields: str = "") -> bytes:
    """A component whose `body` can call `$log`."""
    return component(
        body,
        fields=fields,
        imports=HOST + LOG,
        core_imports='(import "h" "log" (func $log (param i32 i32 i32 i32)))',
        arguments='(with "h" (instance $h))',
    )


FLOOD = "(loop $again (call $log (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)) (br $again))"


def logging_spinner() -> bytes:
    """Computes for ever, and logs an empty line every million rounds."""
    return logger(
        """(loop $again
          (global.set $i (i32.add (global.get $i) (i32.const 1)))
          (if (i32.eqz (i32.rem_u (global.get $i) (i32.const 1000000)))
            (then (call $log (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))))
          (br $again))""",
        "(global $i (mut i32) (i32.const 0))",
    )


SPIN = "(loop $again (br $again))"
RECURSION = "(func $down (param i32) (result i32) (i32.add (i32.const 1) (call $down (local.get 0))))"
LARGE = """
(i32.store8 (i32.const 0) (i32.const 0)) (i32.store (i32.const 4) (i32.const 65536))
(i32.store (i32.const 8) (i32.const 104857600)) (return (i32.const 0))
"""
GROWTH = "(loop $again (br_if $again (i32.ne (i32.const -1) (memory.grow (i32.const 16)))))"
STARTS_SPINNING = "(func $begin (loop $again (br $again))) (start $begin)"
TABLES = """
(loop $again
  (drop (table.grow $t (ref.null func) (i32.const 1000000)))
  (br_if $again (i32.ne (i32.const -1) (table.grow $t (ref.null func) (i32.const 1000)))))
"""


def logs_early() -> bytes:
    """Its module calls the host when it is instantiated, and so before there is one for it."""
    return component(
        fields="(func $begin (call $log (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1))) (start $begin)",
        imports=f"""{HOST}
(core module $room (memory (export "memory") 1))
(core instance $r (instantiate $room))
(core func $log (canon lower (func $host "log") (memory (core memory $r "memory"))))
(core instance $h (export "log" (func $log)))
""",
        core_imports='(import "host" "log" (func $log (param i32 i32 i32 i32)))',
        arguments='(with "host" (instance $h))',
    )


def explorer() -> bytes:
    """Traps if WASI shows it any directory, environment variable or argument."""
    return component(
        """
        (call $directories (i32.const 2048)) (if (i32.load (i32.const 2052)) (then unreachable))
        (call $variables (i32.const 2048)) (if (i32.load (i32.const 2052)) (then unreachable))
        (call $arguments (i32.const 2048)) (if (i32.load (i32.const 2052)) (then unreachable))
        """,
        imports="""
(import "wasi:filesystem/types@0.2.0" (instance $files (export "descriptor" (type (sub resource)))))
(alias export $files "descriptor" (type $descriptor))
(import "wasi:filesystem/preopens@0.2.0" (instance $preopens
  (alias outer 1 $descriptor (type $d))
  (export "descriptor" (type $e (eq $d)))
  (export "get-directories" (func (result (list (tuple (own $e) string)))))))
(import "wasi:cli/environment@0.2.0" (instance $environment
  (export "get-environment" (func (result (list (tuple string string)))))
  (export "get-arguments" (func (result (list string))))))
(core module $room
  (memory (export "memory") 1)
  (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 8192)))
(core instance $r (instantiate $room))
(core func $directories (canon lower (func $preopens "get-directories")
  (memory (core memory $r "memory")) (realloc (core func $r "realloc"))))
(core func $variables (canon lower (func $environment "get-environment")
  (memory (core memory $r "memory")) (realloc (core func $r "realloc"))))
(core func $arguments (canon lower (func $environment "get-arguments")
  (memory (core memory $r "memory")) (realloc (core func $r "realloc"))))
(core instance $wasi (export "directories" (func $directories)) (export "variables" (func $variables))
  (export "arguments" (func $arguments)) (export "memory" (memory $r "memory")))
""",
        core_imports="""
(import "wasi" "directories" (func $directories (param i32)))
(import "wasi" "variables" (func $variables (param i32)))
(import "wasi" "arguments" (func $arguments (param i32)))
(import "wasi" "memory" (memory $room 1))
""",
        arguments='(with "wasi" (instance $wasi))',
    )


NETWORK = """
(import "wasi:sockets/network@0.2.0" (instance $network
  (export "network" (type (sub resource)))
  (type $codes (enum "unknown" "access-denied" "not-supported" "invalid-argument" "out-of-memory" "timeout"
    "concurrency-conflict" "not-in-progress" "would-block" "invalid-state" "new-socket-limit" "address-not-bindable"
    "address-in-use" "remote-unreachable" "connection-refused" "connection-reset" "connection-aborted"
    "datagram-too-large" "name-unresolvable" "temporary-resolver-failure" "permanent-resolver-failure"))
  (export "error-code" (type (eq $codes)))
  (type $families (enum "ipv4" "ipv6"))
  (export "ip-address-family" (type (eq $families)))))
(alias export $network "network" (type $N))
(alias export $network "error-code" (type $E))
(alias export $network "ip-address-family" (type $F))
(import "wasi:sockets/instance-network@0.2.0" (instance $instance
  (alias outer 1 $N (type $n)) (export "network" (type $n2 (eq $n)))
  (export "instance-network" (func (result (own $n2))))))
(import "wasi:sockets/ip-name-lookup@0.2.0" (instance $lookup
  (alias outer 1 $N (type $n)) (alias outer 1 $E (type $e))
  (export "network" (type $n2 (eq $n))) (export "error-code" (type $e2 (eq $e)))
  (export "resolve-address-stream" (type $stream (sub resource)))
  (export "resolve-addresses" (func (param "network" (borrow $n2)) (param "name" string)
    (result (result (own $stream) (error $e2)))))))
(import "wasi:sockets/tcp@0.2.0" (instance $tcp (export "tcp-socket" (type (sub resource)))))
(alias export $tcp "tcp-socket" (type $T))
(import "wasi:sockets/tcp-create-socket@0.2.0" (instance $create
  (alias outer 1 $E (type $e)) (alias outer 1 $F (type $f)) (alias outer 1 $T (type $t))
  (export "error-code" (type $e2 (eq $e))) (export "ip-address-family" (type $f2 (eq $f)))
  (export "tcp-socket" (type $t2 (eq $t)))
  (export "create-tcp-socket" (func (param "address-family" $f2) (result (result (own $t2) (error $e2)))))))
(core module $room (memory (export "memory") 1) (data (i32.const 100) "127.0.0.1")
  (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 8)))
(core instance $r (instantiate $room))
(core func $of (canon lower (func $instance "instance-network")))
(core func $resolve (canon lower (func $lookup "resolve-addresses") (memory (core memory $r "memory"))))
(core func $open (canon lower (func $create "create-tcp-socket") (memory (core memory $r "memory"))))
(core instance $wasi (export "network" (func $of)) (export "resolve" (func $resolve)) (export "open" (func $open))
  (export "memory" (memory $r "memory")))
"""
NETWORK_CORE = """
(import "wasi" "network" (func $network (result i32)))
(import "wasi" "resolve" (func $resolve (param i32 i32 i32 i32)))
(import "wasi" "open" (func $open (param i32 i32)))
(import "wasi" "memory" (memory $room 1))
"""
REFUSED = "(if (i32.ne (i32.const 1) (i32.load8_u $room (i32.const 64))) (then unreachable))"
LOOKS_UP = f"(call $resolve (call $network) (i32.const 100) (i32.const 9) (i32.const 64)) {REFUSED}"
OPENS_A_SOCKET = f"(call $open (i32.const 0) (i32.const 64)) {REFUSED}"
# As componentize-py says what made a component: others may not import sockets at all.
PRODUCERS = b"\x09producers\x01\x0cprocessed-by\x01\x0fcomponentize-py\x060.25.1"


def networked(body: str) -> bytes:
    """A component that imports WASI's sockets."""
    return component(
        body, imports=NETWORK, core_imports=NETWORK_CORE, arguments='(with "wasi" (instance $wasi))'
    )


def networker(body: str) -> bytes:
    """One as those that componentize-py makes."""
    return networked(body) + bytes([0, len(PRODUCERS)]) + PRODUCERS


# How a core module imports and calls a function of each of these component types.
CORE_TYPES = {
    "(func)": "",
    "(func (result string))": "(param i32)",
}
CORE_CALLS = {
    "(func)": "(call $now)",
    "(func (result string))": "(call $now (i32.const 64))",
}


def random_bytes(
    size: int, interface: str = "random", name: str = "get-random-bytes", times: int = 1, wanted: str = "u64"
) -> bytes:
    """Asks for so many random bytes, several times, and answers with half of each of the last ones, as letters."""
    return bytes(
        wat2wasm(f"""
(component
  (import "wasi:random/{interface}@0.2.3" (instance $random
    (export "{name}" (func (param "len" {wanted}) (result (list u8))))))
  (core module $home
    (memory (export "memory") 4)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096)))
  (core instance $h (instantiate $home))
  (core func $bytes (canon lower (func $random "{name}")
    (memory (core memory $h "memory")) (realloc (core func $h "realloc"))))
  (core instance $wasi (export "bytes" (func $bytes)))
  (core module $m
    (import "home" "memory" (memory 4))
    (import "wasi" "bytes" (func $bytes (param i64 i32)))
    (func (export "handle") (param $left i32) (param $at i32) (result i32)
      (local.set $left (i32.const {times}))
      (loop $again
        (call $bytes (i64.const {size}) (i32.const 20))
        (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
      (local.set $left (i32.load (i32.const 24)))
      (loop $next (if (local.get $left) (then
        (local.set $left (i32.sub (local.get $left) (i32.const 1)))
        (local.set $at (i32.add (i32.load (i32.const 20)) (local.get $left)))
        (i32.store8 (local.get $at)
          (i32.add (i32.const 97) (i32.and (i32.const 15) (i32.load8_u (local.get $at)))))
        (br $next))))
      (i32.const 16)))
  (core instance $i (instantiate $m (with "home" (instance $h)) (with "wasi" (instance $wasi))))
  (func (export "handle") (param "event" string) (result (result string (error string)))
    (canon lift (core func $i "handle") (memory (core memory $h "memory")) (realloc (core func $h "realloc")))))
""")
    )
