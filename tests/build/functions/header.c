// Every part of aerofn.h once; see test_c.py.
#include "aerofn.h"

result handle(text event) {
  text path = json_string(json_get(event, "path"));
  if (same(path, TEXT("fetch"))) {
    reply answer = fetch(TEXT("{\"url\":\"https://a.example/\"}"));
    return answer.ok ? done(answer.json) : fail(answer.json);
  }
  if (same(path, TEXT("wait"))) wait_ms(5);
  if (same(path, TEXT("env"))) {
    text missing = env(TEXT("MISSING"));
    return done(json_list(2, json_of(env(TEXT("KEY"))), missing.size > 0 ? json_of(missing) : NOTHING));
  }

  char *name = take(path.size + 1);
  __builtin_memcpy(name, path.at, path.size);
  name[path.size] = 0;
  text value = json_get(json_get(event, "document"), name);
  if (value.size == 0) return done(NOTHING);
  if (value.at[0] != '"') return done(value.at[0] == '-' ? json_number(json_int(value)) : value);
  log_info(json_string(value));
  return done(json_of(json_string(value)));
}
