// Date and performance: live in an invocation, standing still while the function is built, so that the
// same source always gives the same component.

import { isRunning } from "./lifetime.js";

const NativeDate = Date;
const liveNow = Date.now;
const ticks = performance.now.bind(performance);
let origin;
let originTime = 0;

Date.now = () => (isRunning() ? liveNow() : 0);

// `new Date()` and `Date()` read the clock too; replaced by a stand-in until the snapshot is taken.
const StillDate = new Proxy(NativeDate, {
  construct: (target, args, self) =>
    Reflect.construct(target, args.length === 0 && !isRunning() ? [0] : args, self === StillDate ? target : self),
  apply: (target) => (isRunning() ? target() : new target(0).toString()),
});

export function stopDate() {
  globalThis.Date = StillDate;
}

export function restoreDate() {
  globalThis.Date = NativeDate;
}

// performance counts from its first use in the invocation.
function elapsed() {
  if (!isRunning()) return 0;
  if (origin === undefined) {
    origin = ticks();
    originTime = liveNow();
  }
  return ticks() - origin;
}

const clock = {
  now: elapsed,
  get timeOrigin() {
    elapsed();
    return originTime;
  },
};
Object.defineProperty(globalThis, "performance", { value: clock, writable: true, configurable: true });
