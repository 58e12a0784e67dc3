// A guest in C that sleeps for an hour through WASI's clock. Rebuild: python tests/guests/c/build.py
#include "guest.h"

IMPORT("wasi:clocks/monotonic-clock@0.2.0", "subscribe-duration") u32 subscribe(unsigned long long nanoseconds);
IMPORT("wasi:io/poll@0.2.0", "[method]pollable.block") void block(u32 pollable);

__attribute__((export_name("handle")))
result_t *handle(const u8 *event, u32 size) {
  block(subscribe(3600000000000ull));
  return answer(event, size);
}
