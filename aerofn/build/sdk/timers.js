// setTimeout and its kin, and the loop that runs them. Host calls suspend the whole sandbox, so nothing
// happens beside the handler: timers fire once it has nothing left to do but wait, in the order they are
// due. They end with the invocation, whose time limit bounds them all.

import clock from "aerofn:function/clock@1.0.0";
import { demandInvocation } from "./lifetime.js";

const EAGER_TURNS = 32; // microtask turns given to a handler before asking whether it waits for a timer

const MANY_TURNS = 4096;
const LONGEST = 1e9; // milliseconds: more than any invocation has

const timers = new Map();
let lastId = 0;

function start(callback, delay, args, repeat) {
  demandInvocation(repeat ? "setInterval" : "setTimeout");
  if (typeof callback !== "function") throw new TypeError("a timer needs a function to call");
  const pause = Math.max(0, Number(delay) || 0);
  timers.set(++lastId, { id: lastId, due: performance.now() + pause, pause, repeat, call: () => callback(...args) });
  return lastId;
}

export const setTimeout = (callback, delay, ...args) => start(callback, delay, args, false);
export const setInterval = (callback, delay, ...args) => start(callback, delay, args, true);
export const clearTimeout = (id) => void timers.delete(id);

// The component model's own event loop resumes us only when every microtask has run. Writing to a future
// that is read in the same breath is the smallest event there is.
// SpiderMonkey has none: there many turns have to do.
function idle() {
  if (!globalThis.wit?.Future) return turns(MANY_TURNS);
  const { readable, writable } = globalThis.wit.Future();
  const written = writable.write(0);
  readable.read();
  return written;
}

async function turns(count) {
  for (let turn = 0; turn < count; turn++) await null;
}

// Nothing else can happen in this sandbox until `due`: all of it sleeps.
function waitUntil(due) {
  for (let left; (left = due - performance.now()) > 0; ) clock.wait(Math.ceil(Math.min(left, LONGEST) * 1e6));
}

function fireNext() {
  let next;
  for (const timer of timers.values()) if (!next || timer.due < next.due) next = timer;
  if (!next) return false;
  waitUntil(next.due);
  if (next.repeat) next.due += Math.max(1, next.pause);
  else timers.delete(next.id);
  try {
    next.call();
  } catch (error) {
    console.error("Uncaught", error);
  }
  return true;
}

// The outcome of `promise`, with timers running meanwhile.
export async function settle(promise) {
  let settled = false;
  const note = () => {
    settled = true;
  };
  promise.then(note, note);
  for (;;) {
    for (let turn = 0; turn < EAGER_TURNS && !settled; turn++) await null;
    if (!settled) await idle();
    if (settled) return promise;
    if (fireNext()) continue;
    if (!globalThis.wit?.Future) return promise; // the engine tells whether it can ever settle
    throw new Error("the handler waits for a promise that nothing will ever settle");
  }
}
