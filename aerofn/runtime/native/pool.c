/* Threads that advance runs without Python's GIL. Runs are put in by the loop's thread, in the order it decided on, and
 * taken out by it; a file descriptor tells it when there are some. */

#define _POSIX_C_SOURCE 200809L
#include "sandbox.h"

#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

struct line {
    struct run *first, *last;
};

struct pool {
    pthread_mutex_t lock;
    pthread_cond_t there;
    struct line waiting, renewals, done; /* the second only when the first is empty */
    int wake;  /* a pipe's end, written to when there is something in `done` that somebody waits for */
    bool told; /* and `done` has not been empty since */
    bool expected; /* somebody waits for a release */
    bool closing;
    unsigned asleep; /* how many wait for `there` */
    unsigned count;
    pthread_t threads[];
};

static void append(struct line *line, struct run *run)
{
    run->next = NULL;
    if (line->last)
        line->last->next = run;
    else
        line->first = run;
    line->last = run;
}

static void prepend(struct line *line, struct run *run)
{
    run->next = line->first;
    line->first = run;
    if (!line->last)
        line->last = run;
}

static struct run *shift(struct line *line)
{
    struct run *run = line->first;
    if (run && !(line->first = run->next))
        line->last = NULL;
    return run;
}

static void work(struct run *run)
{
    if (run->errand == ADVANCE) {
        if (aerofn_advance(run) & OVER)
            aerofn_free_guest(run); /* its memory is for who comes next, while it is in this processor's caches */
    } else if (run->errand == RELEASE) {
        aerofn_release(run);
    } else {
        aerofn_renew(run);
    }
}

/* Wake the loop, unless it knows. */
static void tell(struct pool *pool)
{
    if (pool->told)
        return;
    pool->told = true;
    if (write(pool->wake, "", 1) < 0) {
        /* the pipe is full: there is enough to read in it */
    }
}

/* On a machine with nothing to spare the loop goes first: it alone gives these threads more to do. */
static void yield_to_loop(void)
{
#ifdef __linux__ /* where niceness is a thread's own */
    setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + 5);
#endif
}

static void *serve(void *given)
{
    struct pool *pool = given;
    yield_to_loop();
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        struct run *run = shift(&pool->waiting);
        if (!run)
            run = shift(&pool->renewals);
        if (run) {
            if (pool->asleep && pool->waiting.first) /* one waking is for all that is put in at once */
                pthread_cond_signal(&pool->there);
            enum errand errand = run->errand; /* one that is renewed forgets it */
            pthread_mutex_unlock(&pool->lock);
            work(run);
            pthread_mutex_lock(&pool->lock);
            append(&pool->done, run);
            if (errand == ADVANCE || pool->expected) /* else it is found with what comes after it */
                tell(pool);
            if (errand != ADVANCE)
                pool->expected = false;
        } else if (pool->closing) {
            break;
        } else {
            pool->asleep++;
            pthread_cond_wait(&pool->there, &pool->lock);
            pool->asleep--;
        }
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

void aerofn_pool_free(struct pool *pool)
{
    pthread_cond_destroy(&pool->there);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

/* `count` threads, or as many of them as there can be; NULL if there can be none. `wake`: a pipe's end, not blocking. */
struct pool *aerofn_pool_new(unsigned count, int wake)
{
    struct pool *pool = calloc(1, sizeof *pool + count * sizeof *pool->threads);
    if (!pool)
        return NULL;
    pool->wake = wake;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->there, NULL);
    while (pool->count < count && start_thread(&pool->threads[pool->count], serve, pool))
        pool->count++;
    if (pool->count || !count)
        return pool;
    aerofn_pool_free(pool);
    return NULL;
}

/* Have a run advanced or renewed, or, before all others, released; `aerofn_pool_done` gives it back. Without `wake`
 * a thread may sleep on, until there is more. */
void aerofn_pool_put(struct pool *pool, struct run *run, int errand, bool wake)
{
    run->errand = (enum errand)errand;
    pthread_mutex_lock(&pool->lock);
    if (errand == RELEASE)
        prepend(&pool->waiting, run);
    else
        append(errand == RENEW ? &pool->renewals : &pool->waiting, run);
    if (wake)
        pthread_cond_signal(&pool->there);
    pthread_mutex_unlock(&pool->lock);
}

/* Wake a thread for what was put in without. */
void aerofn_pool_wake(struct pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    pthread_cond_signal(&pool->there);
    pthread_mutex_unlock(&pool->lock);
}

/* A run that is done; NULL if there is none. */
struct run *aerofn_pool_done(struct pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    struct run *run = shift(&pool->done);
    if (!run)
        pool->told = false;
    pthread_mutex_unlock(&pool->lock);
    return run;
}

/* Wake the loop at the next release too. */
void aerofn_pool_expect(struct pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    struct run *run;
    pool->expected = true;
    while ((run = shift(&pool->renewals)))
        prepend(&pool->waiting, run);
    if (pool->done.first)
        tell(pool);
    pthread_mutex_unlock(&pool->lock);
}

/* End the threads when all that was put in is done; `aerofn_pool_done` still gives it back, then `aerofn_pool_free`. */
void aerofn_pool_close(struct pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    pool->closing = true;
    pthread_cond_broadcast(&pool->there);
    pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < pool->count; i++)
        pthread_join(pool->threads[i], NULL);
}
