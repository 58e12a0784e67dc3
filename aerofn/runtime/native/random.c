/* WASI's random bytes, at most RANDOM_BYTES a call. wasmtime fills a list of any length at once, on the guest's stack and
 * so on the loop, where nothing can interrupt it. */

#define _GNU_SOURCE
#define _DARWIN_C_SOURCE
#include "sandbox.h"

#include <errno.h>
#include <sys/random.h>
#include <sys/types.h>

enum { PIECE = 4096 };

static const char WRONG_TYPE[] = "WASI's random bytes were imported with another type than they have";
static const char NO_BYTES[] = "os error: the system gives no random bytes";

/* How many of these bytes are random now; less than 1 if the system says no. */
static ssize_t some(char *to, size_t size)
{
#ifdef __linux__
    return getrandom(to, size, 0);
#else
    size = size < 256 ? size : 256; /* it gives no more at once */
    return getentropy(to, size) ? -1 : (ssize_t)size;
#endif
}

static bool fill(char *to, size_t size)
{
    while (size) {
        ssize_t done = some(to, size);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return false;
        to += done;
        size -= (size_t)done;
    }
    return true;
}

static bool fill_list(struct list *list)
{
    char piece[PIECE];
    for (size_t at = 0; at < list->size;) {
        size_t n = list->size - at < PIECE ? list->size - at : PIECE;
        if (!fill(piece, n))
            return false;
        for (size_t i = 0; i < n; i++, at++) {
            list->data[at].kind = KIND_U8;
            list->data[at].of.u8 = (uint8_t)piece[i];
        }
    }
    return true;
}

/* The callback of both functions; `env` is what is said of a longer list, a text of Python's. */
error *wasi_random_bytes(void *env, context *at, const void *type, const struct value *arguments, size_t n,
                         struct value *results, size_t m)
{
    struct value bytes = {.kind = KIND_LIST};
    (void)at, (void)type;
    if (n != 1 || m != 1 || arguments[0].kind != KIND_U64)
        return api.wasmtime_error_new(WRONG_TYPE);
    if (arguments[0].of.u64 > RANDOM_BYTES)
        return api.wasmtime_error_new(env);
    api.wasmtime_component_vallist_new_uninit(&bytes.of.list, (size_t)arguments[0].of.u64);
    if (!fill_list(&bytes.of.list)) {
        api.wasmtime_component_val_delete(&bytes);
        return api.wasmtime_error_new(NO_BYTES);
    }
    results[0] = bytes;
    return NULL;
}
