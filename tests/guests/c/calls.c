// A guest in C that abuses its host's functions. The event's first letter chooses what it does, the second which function:
// q db-query, x http-fetch, v env, l log. Rebuild: python tests/guests/c/build.py
#include "guest.h"

IMPORT(HOST, "log") void host_log(const u8 *level, u32 level_size, const u8 *text, u32 size);
IMPORT(HOST, "db-query")
void host_db_query(const u8 *sql, u32 sql_size, const u8 *params, u32 size, result_t *result);
IMPORT(HOST, "http-fetch") void host_http_fetch(const u8 *request, u32 size, result_t *result);
IMPORT(HOST, "env") void host_env(const u8 *key, u32 size, result_t *value); // is_err: whether there is a value
IMPORT("aerofn:function/clock@1.0.0", "wait") void clock_wait(unsigned long long nanoseconds);

static u8 *filled(u32 size) {
  u8 *at = cabi_realloc(0, 0, 16, size);
  for (u32 i = 0; i < size; i++) at[i] = 'x';
  return at;
}

// One host call with a text (a query has it twice), and what it gave.
static result_t *ask(u8 which, const u8 *text, u32 size) {
  static const u8 info[] = "info";
  result_t reply = {0, text, size};
  switch (which) {
    case 'q': host_db_query(text, size, text, size, &reply); break;
    case 'x': host_http_fetch(text, size, &reply); break;
    case 'v': host_env(text, size, &reply); break;
    case 'l': host_log(info, 4, text, size); break;
  }
  return answer(reply.at, reply.size);
}

// The same so many times; nothing is kept of what it gives. Answers how often it asked.
static result_t *ask_often(u8 which, u32 times, u32 size) {
  static u8 digits[10];
  const u8 *text = filled(size);
  u32 before = top, done = 0, at = sizeof digits;
  for (; done < times; done++, top = before) ask(which, text, size);
  do digits[--at] = '0' + done % 10; while (done /= 10);
  return answer(digits + at, sizeof digits - at);
}

__attribute__((export_name("handle")))
result_t *handle(const u8 *event, u32 size) {
  static const u8 broken[] = "\xff\xfe\xfd";
  u8 which = size > 1 ? event[1] : 0;
  switch (size ? event[0] : 0) {
    case 'a': return ask(which, event + 2, size - 2);        // with the rest of the event
    case 'b': return ask(which, broken, 3);                  // broken UTF-8
    case 'o': return ask(which, (u8 *)0xfffffff0u, 1000);    // a pointer out of range
    case 'z': return ask(which, broken, 0x7fffffffu);        // longer than the memory
    case 'm': return ask_often(which, 1000000, 8);           // a million calls
    case 't': return ask_often(which, 10000, 4096);          // ten thousand with large texts
    case 'f': return ask_often('l', 1000000, 1 << 20);       // a flood of lines of a megabyte
    case 'g': return answer(filled(100 << 20), 100 << 20);   // a result of 100 MB
    case 'w': clock_wait(~0ull);                             // never comes back
  }
  return answer(event, size);
}
