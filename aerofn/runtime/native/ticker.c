/* The clock that ends slices: a thread that advances the engines' epochs while guests run, and sleeps when none does.
 * A guest gives way at the first tick of its slice, so the ticker may not stand still while anybody advances one. */

#define _POSIX_C_SOURCE 200809L
#include "sandbox.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

enum {
    ENGINES = 3,
    IDLE_TICKS = 20, /* how long it keeps ticking when no guest runs: parking and waking are not free */
};

struct ticker {
    atomic_uint entered, left; /* how often guests were advanced, both ends: any thread's */
    atomic_bool parked;
    atomic_bool closing;
    atomic_uint_fast64_t ticks; /* so far */
    unsigned seen;              /* what `entered` was at the last look: the thread's own, as `idle` is */
    unsigned idle;
    struct timespec slice;
    void *engines[ENGINES]; /* references of its own: they outlive the thread, whatever Python does first */
    unsigned count;
    pthread_mutex_t lock; /* of parking and waking alone */
    pthread_cond_t wake;
    pthread_t thread;
};

static void unpark(struct ticker *ticker)
{
    pthread_mutex_lock(&ticker->lock);
    atomic_store(&ticker->parked, false);
    pthread_cond_signal(&ticker->wake);
    pthread_mutex_unlock(&ticker->lock);
}

/* A guest is about to be advanced. Its clock ticks until `ticker_leave`, at the least. */
void ticker_enter(struct ticker *ticker)
{
    /* first the one, then the other, and `park` the other way round: one of the two sees what the other did */
    atomic_fetch_add(&ticker->entered, 1);
    if (atomic_load(&ticker->parked))
        unpark(ticker);
}

/* It has given way. */
void ticker_leave(struct ticker *ticker)
{
    atomic_fetch_add(&ticker->left, 1);
}

/* Whether a guest is being advanced, or was since the last look. */
static bool in_use(struct ticker *ticker)
{
    unsigned left = atomic_load(&ticker->left); /* before the other: who comes and goes meanwhile is seen */
    unsigned entered = atomic_load(&ticker->entered);
    bool used = entered != left || entered != ticker->seen;
    ticker->seen = entered;
    return used;
}

/* Sleep until somebody enters. */
static void park(struct ticker *ticker)
{
    pthread_mutex_lock(&ticker->lock);
    atomic_store(&ticker->parked, true);
    /* who came between the last look and this did not see it */
    if (atomic_load(&ticker->entered) != ticker->seen || atomic_load(&ticker->closing))
        atomic_store(&ticker->parked, false);
    while (atomic_load(&ticker->parked))
        pthread_cond_wait(&ticker->wake, &ticker->lock);
    pthread_mutex_unlock(&ticker->lock);
}

static void tick(struct ticker *ticker)
{
    for (unsigned i = 0; i < ticker->count; i++)
        api.wasmtime_engine_increment_epoch(ticker->engines[i]);
    atomic_fetch_add(&ticker->ticks, 1);
    ticker->idle = in_use(ticker) ? 0 : ticker->idle + 1;
}

static void *keep_ticking(void *given)
{
    struct ticker *ticker = given;
    while (!atomic_load(&ticker->closing)) {
        nanosleep(&ticker->slice, NULL);
        tick(ticker);
        if (ticker->idle > IDLE_TICKS) {
            park(ticker);
            ticker->idle = 0;
        }
    }
    return NULL;
}

/* A ticker without engines and without a thread, for slices of so many nanoseconds; NULL if there is no memory. */
struct ticker *aerofn_ticker_new(uint64_t slice_ns)
{
    struct ticker *ticker = calloc(1, sizeof *ticker);
    if (!ticker)
        return NULL;
    ticker->slice = (struct timespec){(time_t)(slice_ns / 1000000000u), (long)(slice_ns % 1000000000u)};
    pthread_mutex_init(&ticker->lock, NULL);
    pthread_cond_init(&ticker->wake, NULL);
    return ticker;
}

/* Have it tick for an engine too, before it starts; false if it has as many as it can. */
bool aerofn_ticker_add(struct ticker *ticker, void *engine)
{
    if (ticker->count == ENGINES)
        return false;
    ticker->engines[ticker->count++] = api.wasmtime_engine_clone(engine);
    return true;
}

/* Start its thread; false if the system gives none: it may be tried again. */
bool aerofn_ticker_start(struct ticker *ticker)
{
    atomic_store(&ticker->closing, false);
    return start_thread(&ticker->thread, keep_ticking, ticker);
}

/* End its thread, within a slice. Nobody may advance a guest any more. */
void aerofn_ticker_stop(struct ticker *ticker)
{
    atomic_store(&ticker->closing, true);
    unpark(ticker);
    pthread_join(ticker->thread, NULL);
}

/* How often it has ticked. */
uint64_t aerofn_ticker_ticks(struct ticker *ticker)
{
    return atomic_load(&ticker->ticks);
}

/* Free one that has no thread, or none any more. */
void aerofn_ticker_free(struct ticker *ticker)
{
    for (unsigned i = 0; i < ticker->count; i++)
        api.wasm_engine_delete(ticker->engines[i]);
    pthread_cond_destroy(&ticker->wake);
    pthread_mutex_destroy(&ticker->lock);
    free(ticker);
}
