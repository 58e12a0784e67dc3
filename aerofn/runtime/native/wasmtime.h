/* The part of wasmtime's C API that this library calls. It is not linked: each function is looked up by its name in
 * the library that wasmtime's Python package has loaded. `tests/runtime/test_ffi.py` compares each line of WASMTIME,
 * and the layouts below, with that package's own bindings. */

#ifndef AEROFN_WASMTIME_H
#define AEROFN_WASMTIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum kind { /* as in wasmtime/component/val.h */
    KIND_U8 = 2,
    KIND_U32 = 6,
    KIND_U64 = 8,
    KIND_STRING = 12,
    KIND_LIST = 13,
    KIND_ENUM = 17,
    KIND_OPTION = 18,
    KIND_RESULT = 19,
};

struct bytes { /* wasm_byte_vec_t */
    size_t size;
    char *data;
};

struct list { /* wasmtime_component_vallist_t */
    size_t size;
    struct value *data;
};

struct value { /* wasmtime_component_val_t, reduced to the kinds of AeroFn's contract; same size as the whole */
    uint8_t kind;
    union {
        struct bytes string;
        struct {
            bool is_ok;
            struct value *payload;
        } result;
        struct value *option;
        struct list list;
        uint8_t u8;
        uint32_t u32;
        uint64_t u64;
    } of;
    uint64_t rest;
};

struct continuation { /* wasmtime_async_continuation_t: asked at each poll whether a call has its answer */
    bool (*callback)(void *env);
    void *env;
    void (*finalizer)(void *env);
};

struct instance { /* wasmtime_component_instance_t */
    uint64_t opaque[2];
};

struct function { /* wasmtime_component_func_t */
    uint64_t opaque[4];
};

typedef struct wasmtime_error error;
typedef struct wasmtime_context context;
typedef struct wasmtime_call_future future;
typedef struct wasmtime_component_export_index export_index;

/* use(result, name, arguments) */
#define WASMTIME(use)                                                                                                  \
    use(void *, wasmtime_store_new, (void *engine, void *data, void (*finalizer)(void *)))                             \
    use(void, wasmtime_store_delete, (void *store))                                                                    \
    use(context *, wasmtime_store_context, (void *store))                                                              \
    use(void, wasmtime_store_limiter,                                                                                  \
        (void *store, int64_t memory, int64_t elements, int64_t instances, int64_t tables, int64_t memories))          \
    use(void *, wasmtime_context_get_data, (const context *at))                                                        \
    use(void, wasmtime_context_set_epoch_deadline, (context *at, uint64_t ticks))                                      \
    use(error *, wasmtime_context_epoch_deadline_async_yield_and_update, (context *at, uint64_t ticks))                \
    use(void *, wasmtime_engine_clone, (void *engine))                                                                 \
    use(void, wasm_engine_delete, (void *engine))                                                                      \
    use(void, wasmtime_engine_increment_epoch, (void *engine))                                                         \
    use(void *, wasi_config_new, (void))                                                                               \
    use(error *, wasmtime_context_set_wasi, (context *at, void *wasi))                                                 \
    use(future *, wasmtime_component_linker_instantiate_async,                                                         \
        (const void *linker, context *at, const void *component, struct instance *out, error **failed))                \
    use(bool, wasmtime_component_instance_get_func,                                                                    \
        (const struct instance *from, context *at, const export_index *name, struct function *out))                    \
    use(future *, wasmtime_component_func_call_async,                                                                  \
        (const struct function *called, context *at, const struct value *arguments, size_t n, struct value *results,   \
         size_t m, error **failed))                                                                                    \
    use(bool, wasmtime_call_future_poll, (future *polled))                                                             \
    use(void, wasmtime_call_future_delete, (future *deleted))                                                          \
    use(void, wasm_byte_vec_new, (struct bytes *out, size_t size, const char *data))                                   \
    use(struct value *, wasmtime_component_val_new, (struct value *moved))                                             \
    use(void, wasmtime_component_val_delete, (struct value *deleted))                                                  \
    use(void, wasmtime_component_vallist_new_uninit, (struct list *out, size_t size))                                  \
    use(error *, wasmtime_error_new, (const char *text))                                                               \
    use(void, wasmtime_error_delete, (error *deleted))

struct wasmtime {
#define FIELD(result, name, arguments) result(*name) arguments;
    WASMTIME(FIELD)
#undef FIELD
};

#pragma GCC visibility push(hidden)
extern struct wasmtime api; /* filled by aerofn_bind */
#pragma GCC visibility pop

#endif
