/* The steps of a run: instantiate, call `handle`, ask for the memory's size; each as many polls of a fiber as it takes.
 * Whoever advances it first makes its store, so that all of a run may be one thread's. */

#define _POSIX_C_SOURCE 200809L
#include "sandbox.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* of a processor's time; JavaScript takes a tenth of that */
enum { AHEAD_NS = 5000000 };

struct wasmtime api;
uint64_t began_ns;

static uint64_t now_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t clock_ns(void)
{
    return now_ns(CLOCK_MONOTONIC);
}

/* Which sources this was made of; `library.py` refuses another. */
const char *sandbox_source(void)
{
    return SOURCE_DIGEST;
}

/* Look wasmtime's functions up in its loaded library. Returns the name of one that is not there, else NULL. */
const char *aerofn_bind(void *library)
{
#define FIND(result, name, arguments)                                                                                  \
    *(void **)&api.name = dlsym(library, #name);                                                                       \
    if (!api.name)                                                                                                     \
        return #name;
    WASMTIME(FIND)
#undef FIND
    began_ns = clock_ns();
    return NULL;
}

/* How many bytes a run takes: Python allocates them, zeroed, and may use them again for another run. */
size_t aerofn_run_size(void)
{
    return sizeof(struct run);
}

/* Note what runs of a component have in common; `aerofn_plan_delete` when the last of them is released. */
struct plan *aerofn_plan_new(void *engine, struct ticker *ticker, const void *linker, const void *component,
                             const export_index *handle, const export_index *pages, int64_t elements,
                             int64_t instances, int64_t tables, int64_t memories, uint64_t query,
                             uint64_t request, bool wasi)
{
    struct plan *plan = malloc(sizeof *plan);
    if (plan)
        *plan = (struct plan){engine,    ticker, linker,   component, handle,  pages, elements,
                              instances, tables, memories, query,     request, wasi};
    return plan;
}

void aerofn_plan_delete(struct plan *plan)
{
    free(plan);
}

/* A run that nobody has advanced, with so many bytes for each memory. */
void aerofn_prepare(struct run *run, const struct plan *plan, int64_t memory)
{
    memset(run, 0, sizeof *run);
    run->plan = plan;
    run->memory = memory;
}

/* Make a fresh store, and begin to instantiate. */
static void start(struct run *run)
{
    const struct plan *plan = run->plan;
    run->phase = INSTANTIATING;
    run->store = api.wasmtime_store_new(plan->engine, run, NULL);
    run->context = api.wasmtime_store_context(run->store);
    api.wasmtime_store_limiter(run->store, run->memory, plan->max_elements, plan->max_instances, plan->max_tables,
                               plan->max_memories);
    /* returns nothing, though wasmtime's bindings say that it returns an error */
    api.wasmtime_context_epoch_deadline_async_yield_and_update(run->context, 1);
    if (plan->wasi)
        api.wasmtime_context_set_wasi(run->context, api.wasi_config_new());
    run->future = api.wasmtime_component_linker_instantiate_async(plan->linker, run->context, plan->component,
                                                                  &run->instance, &run->failed);
}

static void begin_call(struct run *run)
{
    run->phase = CALLING;
    run->argument.kind = KIND_STRING;
    api.wasm_byte_vec_new(&run->argument.of.string, run->event.size, run->event.data);
    api.wasmtime_component_instance_get_func(&run->instance, run->context, run->plan->handle, &run->function);
    run->future = api.wasmtime_component_func_call_async(&run->function, run->context, &run->argument, 1, &run->result,
                                                         1, &run->failed);
}

static void begin_measuring(struct run *run)
{
    run->phase = MEASURING;
    api.wasmtime_component_instance_get_func(&run->instance, run->context, run->plan->pages, &run->function);
    run->future =
        api.wasmtime_component_func_call_async(&run->function, run->context, NULL, 0, &run->pages, 1, &run->failed);
}

/* Say what the run is for: valid UTF-8 that outlives it. */
void aerofn_begin(struct run *run, char *event, size_t size)
{
    run->event = (struct text){event, size};
    run->has_event = true;
    if (run->phase == INSTANTIATING && !run->future) /* it was instantiated ahead */
        begin_call(run);
}

static void keep_result(struct run *run)
{
    const struct value *text = run->result.kind == KIND_RESULT ? run->result.of.result.payload : NULL;
    if (text && text->kind == KIND_STRING)
        run->seen.result = (struct text){text->of.string.data, text->of.string.size};
    run->seen.ok = run->result.of.result.is_ok;
}

static int measured(struct run *run, error *failed)
{
    if (failed) /* the guest had already succeeded */
        api.wasmtime_error_delete(failed);
    else if (run->pages.kind == KIND_U32)
        run->seen.pages = run->pages.of.u32;
    return OVER;
}

/* Begin what comes after the future that ended, and return 0; or OVER, or READY. */
static int next_phase(struct run *run)
{
    error *failed = run->failed;
    run->failed = NULL;
    if (run->phase == MEASURING)
        return measured(run, failed);
    run->seen.failure = failed;
    if (failed)
        return OVER;
    if (run->phase == CALLING) {
        keep_result(run);
        if (!run->plan->pages)
            return OVER;
        begin_measuring(run);
    } else if (run->has_event) {
        begin_call(run);
    } else {
        return READY;
    }
    return 0;
}

static int poll(struct run *run)
{
    uint64_t before = now_ns(CLOCK_THREAD_CPUTIME_ID);
    run->seen.poll_ns = 0;
    for (;;) {
        bool done = api.wasmtime_call_future_poll(run->future);
        uint64_t after = now_ns(CLOCK_THREAD_CPUTIME_ID);
        run->seen.poll_ns += after - before;
        run->seen.cpu_ns += after - before;
        if (!done)
            return 0;
        api.wasmtime_call_future_delete(run->future);
        run->future = NULL;
        int said = next_phase(run);
        if (said)
            return said;
        before = after;
    }
}

/* Run the guest on this thread until it ends or has to wait. */
int aerofn_advance(struct run *run)
{
    struct ticker *ticker = run->plan->ticker;
    if (run->phase == PREPARED)
        start(run);
    ticker_enter(ticker);
    /* a whole slice: while it waited the clock went on, and it would give way at once */
    api.wasmtime_context_set_epoch_deadline(run->context, 1);
    int said = poll(run);
    ticker_leave(ticker);
    if (run->first)
        said |= ASKS;
    run->seen.state = (uint64_t)said;
    return said;
}

/* Free a guest that has come to its end; what is to be seen of the run stays. */
void aerofn_free_guest(struct run *run)
{
    api.wasmtime_store_delete(run->store);
    run->store = NULL;
}

/* Unwind the guest if it still runs, and free all that belongs to it. */
void aerofn_release(struct run *run)
{
    if (run->future)
        api.wasmtime_call_future_delete(run->future);
    if (run->failed)
        api.wasmtime_error_delete(run->failed);
    if (run->seen.failure)
        api.wasmtime_error_delete(run->seen.failure);
    if (run->phase > INSTANTIATING)
        api.wasmtime_component_val_delete(&run->argument);
    if (run->result.kind == KIND_RESULT)
        api.wasmtime_component_val_delete(&run->result);
    if (run->store)
        aerofn_free_guest(run);
    forget_calls(run);
}

/* Instantiate ahead of the run: READY, unless the guest computes for long, or wants its host, or fails. */
int aerofn_make_ready(struct run *run)
{
    int said;
    do
        said = aerofn_advance(run);
    while (!said && run->seen.cpu_ns < AHEAD_NS);
    return said;
}

/* Put a fresh run of the same kind into the place of one that is over, as far as `aerofn_make_ready` goes. */
void aerofn_renew(struct run *run)
{
    const struct plan *plan = run->plan;
    int64_t memory = run->memory;
    aerofn_release(run);
    aerofn_prepare(run, plan, memory);
    aerofn_make_ready(run);
}
