/* AeroFn for C: what a function needs to be a component, and the host's four functions. No C library.
 *
 *     #include "aerofn.h"
 *
 *     result handle(text event) {
 *       text id = json_get(event, "record.id");
 *       reply rows = query(TEXT("SELECT name FROM users WHERE id = $1"), json_list(1, id));
 *       if (!rows.ok) return fail(rows.json);
 *       log_info(json_string(json_get(rows.json, "rows.0.name")));
 *       return done(json_get(rows.json, "rows.0"));
 *     }
 *
 * Build it with `aerofn build function.c`. Memory is never freed: the sandbox lives for one invocation.
 * The parts whose names begin with aerofn_ are the component model's calling convention, by hand.
 */
#pragma once
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* --- text: bytes in UTF-8 with their number; not ended by a zero --- */

typedef struct { const char *at; size_t size; } text;

#define TEXT(literal) ((text){(literal), sizeof(literal) - 1})
#define NOTHING ((text){0, 0})

static inline bool same(text a, text b) {
  return a.size == b.size && (a.size == 0 || __builtin_memcmp(a.at, b.at, a.size) == 0);
}

/* --- memory --- */

extern char __heap_base;
static size_t aerofn_top;

static void *take(size_t size) {
  if (aerofn_top == 0) aerofn_top = (size_t)&__heap_base;
  size_t at = (aerofn_top + 7) & ~(size_t)7, have = __builtin_wasm_memory_size(0) << 16;
  if (at + size < at) __builtin_trap();
  aerofn_top = at + size;
  if (aerofn_top > have && __builtin_wasm_memory_grow(0, (aerofn_top - have + 0xffff) >> 16) == (size_t)-1) __builtin_trap();
  return (void *)at;
}

__attribute__((export_name("cabi_realloc"))) void *aerofn_realloc(void *old, size_t had, size_t align, size_t size) {
  (void)align;
  if (size <= had) return old;
  void *fresh = take(size);
  if (had > 0) __builtin_memcpy(fresh, old, had);
  return fresh;
}

/* --- writing: a text that grows --- */

typedef struct { char *at; size_t size, room; } writer;

static void put_text(writer *out, text piece) {
  if (out->size + piece.size > out->room) {
    size_t room = 2 * (out->size + piece.size) + 64;
    out->at = aerofn_realloc(out->at, out->room, 1, room);
    out->room = room;
  }
  if (piece.size > 0) __builtin_memcpy(out->at + out->size, piece.at, piece.size);
  out->size += piece.size;
}

static void put_int(writer *out, int64_t number) {
  char digits[20];
  size_t n = sizeof digits;
  uint64_t rest = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
  do digits[--n] = (char)('0' + rest % 10);
  while ((rest /= 10) > 0);
  if (number < 0) put_text(out, TEXT("-"));
  put_text(out, (text){digits + n, sizeof digits - n});
}

/* A JSON string with its quotes. */
static void put_string(writer *out, text value) {
  static const char hex[] = "0123456789abcdef";
  put_text(out, TEXT("\""));
  for (size_t i = 0; i < value.size; i++) {
    char c = value.at[i];
    if (c == '"' || c == '\\') put_text(out, TEXT("\\"));
    if ((unsigned char)c >= 0x20) put_text(out, (text){value.at + i, 1});
    else put_text(out, (text){(char[]){'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, 6});
  }
  put_text(out, TEXT("\""));
}

static inline text written(const writer *out) { return (text){out->at, out->size}; }

/* --- JSON: values stay text --- */

static size_t json_skip(text json, size_t at) {
  while (at < json.size && (json.at[at] == ' ' || json.at[at] == '\n' || json.at[at] == '\r' || json.at[at] == '\t')) at++;
  return at;
}

/* Where the value that begins at `at` ends. */
static size_t json_end(text json, size_t at) {
  size_t depth = 0;
  for (bool quoted = false; at < json.size; at++) {
    char c = json.at[at];
    if (quoted) {
      if (c == '\\') at++;
      else if (c == '"') quoted = false;
    } else if (c == '"') quoted = true;
    else if (c == '{' || c == '[') depth++;
    else if (depth == 0 && (c == ',' || c == '}' || c == ']' || json_skip(json, at) > at)) break;
    else if (c == '}' || c == ']') depth--;
    if (depth == 0 && !quoted && (c == '"' || c == '}' || c == ']')) { at++; break; }
  }
  return at < json.size ? at : json.size;
}

static text json_member(text json, text key) {
  size_t at = json_skip(json, 0), index = 0, wanted = 0;
  if (at >= json.size) return NOTHING;
  bool list = json.at[at] == '[';
  if (!list && json.at[at] != '{') return NOTHING;
  for (size_t i = 0; list && i < key.size; i++) {
    if (key.at[i] < '0' || key.at[i] > '9') return NOTHING;
    wanted = wanted * 10 + (size_t)(key.at[i] - '0');
  }
  for (at = json_skip(json, at + 1); at < json.size && json.at[at] != '}' && json.at[at] != ']'; index++) {
    text name = NOTHING;
    if (!list) {
      size_t end = json_end(json, at);
      name = end - at >= 2 ? (text){json.at + at + 1, end - at - 2} : NOTHING;
      at = json_skip(json, json_skip(json, end) + 1);
    }
    size_t end = json_end(json, at);
    if (list ? index == wanted : same(name, key)) return (text){json.at + at, end - at};
    at = json_skip(json, end);
    if (at < json.size && json.at[at] == ',') at = json_skip(json, at + 1);
  }
  return NOTHING;
}

/* The JSON value at a path like "record.id" or "rows.0.name"; NOTHING where there is none. */
static text json_get(text json, const char *path) {
  while (*path) {
    size_t n = 0;
    while (path[n] && path[n] != '.') n++;
    json = json_member(json, (text){path, n});
    path += n + (path[n] == '.');
  }
  return json;
}

static void aerofn_put_code(writer *out, uint32_t code) {
  char c[4];
  size_t n = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  for (size_t i = n - 1; i > 0; i--, code >>= 6) c[i] = (char)(0x80 | (code & 0x3f));
  c[0] = (char)(n == 1 ? code : (0xf00 >> n) | code);
  put_text(out, (text){c, n});
}

static uint32_t aerofn_hex4(const char *at) {
  uint32_t code = 0;
  for (int i = 0; i < 4; i++) code = code << 4 | (uint32_t)(at[i] <= '9' ? at[i] - '0' : (at[i] | 32) - 'a' + 10);
  return code;
}

/* What a JSON string says; other values as they are, null as NOTHING. */
static text json_string(text json) {
  if (same(json, TEXT("null"))) return NOTHING;
  if (json.size < 2 || json.at[0] != '"') return json;
  writer out = {0};
  for (size_t i = 1; i + 1 < json.size; i++) {
    if (json.at[i] != '\\') { put_text(&out, (text){json.at + i, 1}); continue; }
    char c = json.at[++i];
    if (c != 'u' || i + 5 > json.size) {
      put_text(&out, (text){(char[]){c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c == 'b' ? '\b' : c == 'f' ? '\f' : c}, 1});
      continue;
    }
    uint32_t code = aerofn_hex4(json.at + i + 1);
    i += 4;
    if (code >= 0xd800 && code < 0xdc00 && i + 6 < json.size && json.at[i + 1] == '\\' && json.at[i + 2] == 'u') {
      uint32_t low = aerofn_hex4(json.at + i + 3);
      if (low >= 0xdc00 && low < 0xe000) {
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        i += 6;
      }
    }
    /* half a character alone is none: UTF-8 cannot say it, and the host takes nothing else */
    aerofn_put_code(&out, code >= 0xd800 && code < 0xe000 ? 0xfffd : code);
  }
  return written(&out);
}

/* The integer a JSON number begins with; 0 where there is none. */
static int64_t json_int(text json) {
  bool negative = json.size > 0 && json.at[0] == '-';
  uint64_t number = 0;
  for (size_t i = negative; i < json.size && json.at[i] >= '0' && json.at[i] <= '9'; i++) number = number * 10 + (uint64_t)(json.at[i] - '0');
  return (int64_t)(negative ? 0 - number : number);
}

/* A JSON string of a text, an integer as JSON, and a list of JSON values: the parameters of a query. */
static inline text json_of(text value) {
  writer out = {0};
  put_string(&out, value);
  return written(&out);
}

static inline text json_number(int64_t number) {
  writer out = {0};
  put_int(&out, number);
  return written(&out);
}

static text json_list(int count, ...) {
  va_list values;
  writer out = {0};
  va_start(values, count);
  put_text(&out, TEXT("["));
  for (int i = 0; i < count; i++) {
    text value = va_arg(values, text);
    if (i > 0) put_text(&out, TEXT(","));
    put_text(&out, value.size > 0 ? value : TEXT("null"));
  }
  put_text(&out, TEXT("]"));
  va_end(values);
  return written(&out);
}

/* --- the host --- */

typedef struct { bool ok; text json; } reply;
struct aerofn_result { uint8_t error; text value; };
struct aerofn_option { uint8_t some; text value; };

#define AEROFN_HOST(name) __attribute__((import_module("aerofn:function/host@1.0.0"), import_name(name)))
AEROFN_HOST("db-query") void aerofn_query(const char *, size_t, const char *, size_t, struct aerofn_result *);
AEROFN_HOST("http-fetch") void aerofn_fetch(const char *, size_t, struct aerofn_result *);
AEROFN_HOST("log") void aerofn_log(const char *, size_t, const char *, size_t);
AEROFN_HOST("env") void aerofn_env(const char *, size_t, struct aerofn_option *);

__attribute__((import_module("aerofn:function/clock@1.0.0"), import_name("wait"))) void aerofn_wait(uint64_t);

/* Waits without using CPU time; the function's time limit goes on. */
static inline void wait_ms(uint64_t milliseconds) { aerofn_wait(milliseconds * 1000000); }

/* One statement; `params` is a JSON list. ok: {"rows":[…],"rowCount":n}, else PostgreSQL's {"code","message",…}. */
static inline reply query(text sql, text params) {
  struct aerofn_result out;
  aerofn_query(sql.at, sql.size, params.at, params.size, &out);
  return (reply){out.error == 0, out.value};
}

/* One request {"url","method","headers","body"}. ok: {"status","headers","body"}, else {"code","message"}. */
static inline reply fetch(text request) {
  struct aerofn_result out;
  aerofn_fetch(request.at, request.size, &out);
  return (reply){out.error == 0, out.value};
}

static inline void log_info(text line) { aerofn_log("info", 4, line.at, line.size); }
static inline void log_error(text line) { aerofn_log("error", 5, line.at, line.size); }

/* A granted key's value; NOTHING where there is none. */
static inline text env(text key) {
  struct aerofn_option out;
  aerofn_env(key.at, key.size, &out);
  return out.some ? out.value : NOTHING;
}

/* --- the function --- */

typedef struct aerofn_result result;

/* The result, a JSON value. */
static inline result done(text json) { return (result){0, json.size > 0 ? json : TEXT("null")}; }

/* The function failed: plain text, or {"name","message","retry"}. */
static inline result fail(text message) { return (result){1, message}; }

/* Yours. `event` is the whole event as JSON. */
result handle(text event);

__attribute__((export_name("handle"))) result *aerofn_handle(const char *event, size_t size) {
  static result out;
  out = handle((text){event, size});
  return &out;
}
