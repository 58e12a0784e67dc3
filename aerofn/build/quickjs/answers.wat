;; All of WASI that there is to know, for the runtime of a QuickJS component (cores.py), which these functions become
;; part of: they call nothing.
;;
;; A sandbox has no files, streams, terminals, environment or arguments, so what the runtime is told about them is
;; always the same, and need not be asked of the host. Clocks and randomness are not here: those are the host's.
(module
  (import "env" "memory" (memory 0))

  ;; nothing: an empty list, or an option that is none, at the given address
  (func $nothing (param i32) (i64.store (local.get 0) (i64.const 0)))
  (export "get-environment" (func $nothing))
  (export "get-directories" (func $nothing))
  (export "get-terminal-stdin" (func $nothing))
  (export "get-terminal-stdout" (func $nothing))
  (export "get-terminal-stderr" (func $nothing))

  ;; what is written goes nowhere, as much as you like
  (func $stream (result i32) i32.const 0)
  (export "get-stdin" (func $stream))
  (export "get-stdout" (func $stream))
  (export "get-stderr" (func $stream))
  (func (export "[method]output-stream.check-write") (param i32 i32)
    (i32.store (local.get 1) (i32.const 0))
    (i64.store offset=8 (local.get 1) (i64.const 65536)))
  (func (export "[method]output-stream.write") (param i32 i32 i32 i32)
    (i32.store (local.get 3) (i32.const 0)))
  (func (export "[method]output-stream.blocking-flush") (param i32 i32)
    (i32.store (local.get 1) (i32.const 0)))
  (func (export "[method]output-stream.subscribe") (param i32) (result i32) i32.const 0)
  (func $done (param i32))
  (export "[method]pollable.block" (func $done))
  (export "[resource-drop]error" (func $done))
  (export "[resource-drop]pollable" (func $done))
  (export "[resource-drop]input-stream" (func $done))
  (export "[resource-drop]output-stream" (func $done))
  (export "[resource-drop]terminal-input" (func $done))
  (export "[resource-drop]terminal-output" (func $done))
  (export "[resource-drop]descriptor" (func $done))

  ;; the calls for it are taken out where the runtime is made reproducible (node/runtime.mjs)
  (func (export "insecure-seed") (param i32) unreachable)

  ;; what only the making of a component asks for, and what ends it or cannot come to be
  (func (export "reset_adapter_state"))
  (func $one (param i32) unreachable)
  (func $two (param i32 i32) unreachable)
  (func $three (param i32 i32 i32) unreachable)
  (func $offset (param i32 i64 i32) unreachable)
  (export "exit" (func $one))
  (export "load" (func $three))
  (export "poll" (func $three))
  (func (export "resolve") (param i32 i32 i32 i32 i32) unreachable)
  (func (export "subscribe-duration") (param i64) (result i32) unreachable)
  (export "[method]descriptor.read-via-stream" (func $offset))
  (export "[method]descriptor.write-via-stream" (func $offset))
  (export "[method]descriptor.append-via-stream" (func $two))
  (export "[method]descriptor.get-flags" (func $two))
  (export "[method]descriptor.stat" (func $two))
  (export "[method]descriptor.metadata-hash" (func $two)))
