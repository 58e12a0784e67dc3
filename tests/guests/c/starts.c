// A guest in C whose initialiser never ends. Rebuild: python tests/guests/c/build.py
#include "guest.h"

static volatile u32 rounds;

__attribute__((export_name("_initialize")))
void begin(void) {
  for (;;) rounds++;
}

__attribute__((export_name("handle")))
result_t *handle(const u8 *event, u32 size) {
  return answer(event, size);
}
