/* One run of a guest, and what it asks of its host. A run belongs to whoever drives it: one thread at a time calls the
 * functions below, and while it is in a pool (`aerofn_pool_put`), nobody but the pool does. */

#ifndef AEROFN_SANDBOX_H
#define AEROFN_SANDBOX_H

#include "wasmtime.h"

#include <pthread.h>

enum { MAX_TEXTS = 2 };

struct text {
    char *data;
    size_t size;
};

struct ticker;

/* What all runs of a component in one engine have in common. Its pointers belong to who made it. */
struct plan {
    void *engine;
    struct ticker *ticker; /* of that engine */
    const void *linker;
    const void *component;
    const export_index *handle;
    const export_index *pages; /* of the function that tells the memory's size; NULL if there is none */
    int64_t max_elements, max_instances, max_tables, max_memories;
    uint64_t max_query, max_request; /* bytes of a call of `db-query`, of `http-fetch` */
    bool wasi; /* each store needs a WASI context, with nothing in it */
};

/* What a run is and was: read by Python while nobody advances the run. `sandbox.py` knows this layout. */
struct seen {
    uint64_t state;      /* what `aerofn_advance` said last */
    uint64_t cpu_ns;     /* the processor's time in the guest so far, instantiation included */
    uint64_t poll_ns;    /* that of the last advance */
    uint64_t host_calls; /* so far */
    uint64_t pages;      /* of memory, 64 KiB each, at the end; 0 if it is not known */
    error *failure;      /* wasmtime's account of a trap: whoever reads it deletes it and clears this */
    struct text result;  /* what the guest returned: wasmtime's, there until the release */
    uint64_t ok;         /* 1: that is the function's result, 0: its error */
    struct text texts[MAX_TEXTS]; /* the arguments of the call that was taken last */
    uint64_t number;              /* likewise: nanoseconds to wait, or when a line was logged (CLOCK_MONOTONIC, ns) */
};

enum phase { PREPARED, INSTANTIATING, CALLING, MEASURING };

struct call;

/* What a pool's thread does with a run. */
enum errand { ADVANCE, RELEASE, RENEW };

struct run {
    struct seen seen;
    const struct plan *plan;
    int64_t memory; /* bytes that each of its memories may have */
    void *store;
    context *context;
    future *future;
    enum phase phase;
    bool has_event;
    struct text event; /* the caller's: it outlives the run */
    struct instance instance;
    struct function function;
    error *failed;
    struct value argument, result, pages;
    /* calls that nobody has taken yet, the oldest first, and the one that was taken and is not answered */
    struct call *first, *last, *taken;
    unsigned calls; /* how many they are */
    size_t held;    /* bytes of their arguments */
    /* in a pool */
    struct run *next;
    enum errand errand;
};

/* What `aerofn_advance` says: neither OVER nor READY is a guest that waits, or gives way. */
enum {
    OVER = 1,
    READY = 2, /* instantiated, and without an event yet */
    ASKS = 4,  /* there are calls to take */
};

/* What a guest can ask; `aerofn_take` returns these, negative for a call that is too large. */
enum { NOTHING, DB_QUERY, HTTP_FETCH, WAIT, LOG, ENV };

enum { RANDOM_BYTES = 65536 }; /* that a guest is given at once, as by Web Crypto; wasi.py has the same */

#pragma GCC visibility push(hidden)
extern uint64_t began_ns; /* when the library was bound */
uint64_t clock_ns(void);  /* CLOCK_MONOTONIC */
void forget_calls(struct run *run);
void ticker_enter(struct ticker *ticker);
void ticker_leave(struct ticker *ticker);
bool start_thread(pthread_t *thread, void *(*body)(void *), void *given);
error *wasi_random_bytes(void *env, context *at, const void *type, const struct value *arguments, size_t n,
                         struct value *results, size_t m);
#pragma GCC visibility pop

int aerofn_advance(struct run *run);
void aerofn_free_guest(struct run *run);
void aerofn_release(struct run *run);
void aerofn_renew(struct run *run);

#endif
