;; Home of a QuickJS component (cores.py): what its other core modules share.
(module
  (table $cell (export "cell") 1 1 funcref)
  (memory (export "memory") {pages})
  (global (export "__stack_pointer") (mut i32) (i32.const {stack}))
  (data (i32.const {at}) "{data}")

  (type $function (func (param i32 i32 i32 i32) (result i32)))
  (func (export "cabi_realloc") (type $function)
    local.get 0 local.get 1 local.get 2 local.get 3 i32.const 0 call_indirect (type $function)))
