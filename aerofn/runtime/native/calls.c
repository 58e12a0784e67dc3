/* What a guest asks its host: noted on the guest's own stack, on whatever thread polls it, without Python; taken and
 * answered while the guest does not move. And the parts of WASI that AeroFn answers itself.
 *
 * wasmtime's C API does not compare types: a component may have imported a function with another type than it has. */

#define _POSIX_C_SOURCE 200809L
#include "sandbox.h"

#include <stdlib.h>
#include <string.h>

enum {
    MAX_LINES = 256, /* log lines nobody has taken: whoever logs more waits until they are */
    LINES_BYTES = 1 << 20,
    /* of a log line's text, which is cut: of the 16,384 characters that are kept, and of what the largest secret may take
     * when written in any way it is looked for, for it is found before the line is cut to those */
    LOG_BYTES = 256 << 10,
    KEY_BYTES = 64 << 10, /* of the name that `env` is asked for */
    MAX_CALLS = 512, /* never reached: a guest has one call at a time, for wasmtime refuses imports that are async */
};
#define MAX_HELD ((size_t)256 << 20) /* two texts as large as a guest's memory can be */

static const char WRONG_TYPE[] = "a host function was imported with another type than it has";
static const char TOO_MANY[] = "more than 512 host calls at once";
static const char TOO_LARGE[] = "more than 256 MiB in host calls at once";
static const char LONG_KEY[] = "`env` was asked for a key of more than 64 KiB";
static const char NO_MEMORY[] = "no memory for a host call";

/* The functions of `aerofn:function`, by what `aerofn_take` returns. `answer` is the kind of their result, or 0. */
static const struct host_function {
    int name;
    unsigned texts;
    bool number;
    uint8_t answer;
} host_functions[] = {
    [DB_QUERY] = {DB_QUERY, 2, false, KIND_RESULT},
    [HTTP_FETCH] = {HTTP_FETCH, 1, false, KIND_RESULT},
    [WAIT] = {WAIT, 0, true, 0},
    [LOG] = {LOG, 2, false, 0},
    [ENV] = {ENV, 1, false, KIND_OPTION},
};

/* Held by the guest, which waits for it, and by the host, which answers; freed when both have let go. */
struct call {
    struct call *next;
    const struct host_function *function;
    struct value *result; /* wasmtime's; NULL when the guest has let go */
    struct text texts[MAX_TEXTS];
    uint64_t number;
    bool answered;
    bool oversized; /* `number` says how many bytes it has, and no text was copied */
    unsigned holders;
};

static void let_go(struct call *call)
{
    if (--call->holders)
        return;
    for (unsigned i = 0; i < MAX_TEXTS; i++)
        free(call->texts[i].data);
    free(call);
}

static size_t size_of(const struct call *call)
{
    return call->texts[0].size + call->texts[1].size;
}

/* --- the guest's side ------------------------------------------------------------------------------------------- */

static bool is_answered(void *env)
{
    return ((struct call *)env)->answered;
}

static void guest_lets_go(void *env)
{
    struct call *call = env;
    call->result = NULL;
    let_go(call);
}

static bool has_type(const struct host_function *function, const struct value *arguments, size_t n, size_t m)
{
    if (n != function->texts + function->number || m != (function->answer != 0))
        return false;
    for (unsigned i = 0; i < function->texts; i++)
        if (arguments[i].kind != KIND_STRING)
            return false;
    return !function->number || arguments[0].kind == KIND_U64;
}

/* Of a text, the most bytes up to `most` that are whole characters of UTF-8. */
static size_t cut(const struct bytes *text, size_t most)
{
    if (text->size <= most)
        return text->size;
    while (most && ((unsigned char)text->data[most] & 0xc0) == 0x80)
        most--;
    return most;
}

static bool copy_text(struct text *to, const struct bytes *from, size_t size)
{
    to->data = malloc(size ? size : 1);
    if (!to->data)
        return false;
    to->size = size;
    if (size)
        memcpy(to->data, from->data, size);
    return true;
}

/* The bytes that a call of this function may have in its texts together. */
static size_t most_of(const struct run *run, int function)
{
    if (function == DB_QUERY)
        return run->plan->max_query;
    return function == HTTP_FETCH ? run->plan->max_request : SIZE_MAX;
}

/* Copy a call's texts, as far as they are wanted; returns what is wrong with them, or NULL. */
static const char *note_texts(struct run *run, struct call *call, const struct value *arguments)
{
    const struct host_function *function = call->function;
    size_t sizes[MAX_TEXTS] = {0}, total = 0;
    for (unsigned i = 0; i < function->texts; i++) {
        const struct bytes *text = &arguments[i].of.string;
        total += sizes[i] = function->name == LOG ? cut(text, LOG_BYTES) : text->size;
    }
    if (function->name == ENV && total > KEY_BYTES)
        return LONG_KEY;
    call->oversized = total > most_of(run, function->name);
    if (call->oversized) {
        call->number = total;
        return NULL;
    }
    if (run->held + total > MAX_HELD)
        return TOO_LARGE;
    for (unsigned i = 0; i < function->texts; i++)
        if (!copy_text(&call->texts[i], &arguments[i].of.string, sizes[i]))
            return NO_MEMORY;
    run->held += total;
    return NULL;
}

/* Note a call; returns what is wrong with it, or NULL. */
static const char *note(struct run *run, struct call *call, const struct value *arguments)
{
    const struct host_function *function = call->function;
    const char *wrong;
    if (run->calls >= MAX_CALLS)
        return TOO_MANY;
    call->number = function->number ? arguments[0].of.u64 : clock_ns();
    wrong = note_texts(run, call, arguments);
    if (wrong)
        return wrong;
    run->calls++;
    call->answered = function->name == LOG && run->calls <= MAX_LINES && run->held <= LINES_BYTES;
    if (run->last)
        run->last->next = call;
    else
        run->first = call;
    run->last = call;
    run->seen.host_calls++;
    return NULL;
}

/* The C API's callback of all of them; `env` says which one it is. */
static void asked(void *env, context *at, const void *type, const struct value *arguments, size_t n,
                  struct value *results, size_t m, error **failed, struct continuation *then)
{
    const struct host_function *function = env;
    struct run *run = api.wasmtime_context_get_data(at);
    const char *wrong = has_type(function, arguments, n, m) ? NULL : WRONG_TYPE;
    struct call *call = wrong ? NULL : calloc(1, sizeof *call);
    (void)type;
    if (call) {
        call->function = function;
        call->result = results;
        call->holders = 2;
        wrong = note(run, call, arguments);
    } else if (!wrong) {
        wrong = NO_MEMORY;
    }
    if (wrong) {
        if (call) {
            call->holders = 1;
            let_go(call);
        }
        *failed = api.wasmtime_error_new(wrong);
        return;
    }
    *then = (struct continuation){is_answered, call, guest_lets_go};
}

/* --- the host's side, while nobody advances the run ------------------------------------------------------------- */

static void host_lets_go(struct run *run, struct call *call)
{
    run->calls--;
    run->held -= size_of(call);
    call->answered = true;
    let_go(call);
}

/* Take the oldest call that nobody has taken: which function it is, its arguments in `seen`; NOTHING if there is none.
 * Of one that is larger than it may be, the function's negative, its size as `number`, and no texts. All but a LOG must be
 * answered before the next is taken. */
int aerofn_take(struct run *run)
{
    struct call *call = run->first;
    if (run->taken) {
        host_lets_go(run, run->taken);
        run->taken = NULL;
    }
    if (!call)
        return NOTHING;
    run->first = call->next;
    if (!run->first)
        run->last = NULL;
    run->taken = call;
    memcpy(run->seen.texts, call->texts, sizeof call->texts);
    run->seen.number = call->number;
    return call->oversized ? -call->function->name : call->function->name;
}

static struct value text_value(const char *data, size_t size)
{
    struct value text = {.kind = KIND_STRING};
    api.wasm_byte_vec_new(&text.of.string, size, data);
    return text;
}

static void put_result(struct value *to, bool ok, struct value inner)
{
    to->kind = KIND_RESULT;
    to->of.result.is_ok = ok;
    to->of.result.payload = api.wasmtime_component_val_new(&inner);
}

static void put_option(struct value *to, const char *data, size_t size)
{
    struct value text;
    to->kind = KIND_OPTION;
    to->of.option = NULL;
    if (data) {
        text = text_value(data, size);
        to->of.option = api.wasmtime_component_val_new(&text);
    }
}

/* Answer the call that was taken: ok or an error with a text, an option's text or NULL, or nothing. Valid UTF-8. */
void aerofn_answer(struct run *run, bool ok, const char *data, size_t size)
{
    struct call *call = run->taken;
    if (!call)
        return;
    if (call->result && call->function->answer == KIND_RESULT)
        put_result(call->result, ok, text_value(data, size));
    else if (call->result && call->function->answer == KIND_OPTION)
        put_option(call->result, data, size);
    run->taken = NULL;
    host_lets_go(run, call);
}

void forget_calls(struct run *run)
{
    while (aerofn_take(run) != NOTHING)
        ;
}

/* --- WASI ------------------------------------------------------------------------------------------------------- */

static error *one_number(struct value *results, size_t m, uint64_t number)
{
    if (m != 1)
        return api.wasmtime_error_new(WRONG_TYPE);
    results[0].kind = KIND_U64;
    results[0].of.u64 = number;
    return NULL;
}

#define WASI_CALLBACK(name)                                                                                            \
    static error *name(void *env, context *at, const void *type, const struct value *arguments, size_t n,              \
                       struct value *results, size_t m)

WASI_CALLBACK(wasi_now)
{
    (void)env, (void)at, (void)type, (void)arguments, (void)n;
    return one_number(results, m, clock_ns() - began_ns);
}

WASI_CALLBACK(wasi_resolution)
{
    (void)env, (void)at, (void)type, (void)arguments, (void)n;
    return one_number(results, m, 1);
}

WASI_CALLBACK(wasi_no_sleep)
{
    (void)at, (void)type, (void)arguments, (void)n, (void)results, (void)m;
    return api.wasmtime_error_new(env); /* the text is Python's */
}

WASI_CALLBACK(wasi_no_socket)
{
    struct value denied = text_value("access-denied", strlen("access-denied"));
    (void)env, (void)at, (void)type, (void)arguments, (void)n;
    if (m != 1) {
        api.wasmtime_component_val_delete(&denied);
        return api.wasmtime_error_new(WRONG_TYPE);
    }
    denied.kind = KIND_ENUM;
    put_result(&results[0], false, denied);
    return NULL;
}

/* --- for the linker --------------------------------------------------------------------------------------------- */

/* The callback of an async host function of `aerofn:function`, and the `env` that makes it that function. */
void *aerofn_asked(void)
{
    return (void *)asked;
}

const void *aerofn_host_function(int name)
{
    return &host_functions[name];
}

/* The callback of a function of WASI by its name there; NULL if it is not one of ours. */
void *aerofn_wasi_function(const char *name)
{
    static const struct {
        const char *name;
        error *(*callback)(void *, context *, const void *, const struct value *, size_t, struct value *, size_t);
    } ours[] = {
        {"now", wasi_now},
        {"resolution", wasi_resolution},
        {"subscribe-instant", wasi_no_sleep},
        {"subscribe-duration", wasi_no_sleep},
        {"create-tcp-socket", wasi_no_socket},
        {"create-udp-socket", wasi_no_socket},
        {"get-random-bytes", wasi_random_bytes},
        {"get-insecure-random-bytes", wasi_random_bytes},
    };
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        if (!strcmp(ours[i].name, name))
            return (void *)ours[i].callback;
    return NULL;
}
