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

// A sandbox has one invocation: whether it has its outcome, and what is told when it cannot have one.
let settled = false;
let fail = () => undefined;
let turnsLeft = EAGER_TURNS;

// Hands what `outcome` comes to, a promise or not, to `done` or `failed`, with timers running meanwhile.
export function settle(outcome, done, failed) {
  fail = (thrown) => {
    if (settled) return;
    settled = true;
    failed(thrown);
  };
  Promise.resolve(outcome).then((value) => {
    if (settled) return;
    settled = true;
    try {
      done(value);
    } catch (thrown) {
      failed(thrown);
    }
  }, fail);
  watch();
}

const now = Promise.resolve();

// Whether there is an outcome, asked anew each turn: by `then`, which takes half of what `await` does.
function watch() {
  if (settled) return;
  if (turnsLeft-- > 0) now.then(watch);
  else idle().then(goOn).catch(fail);
}

function goOn() {
  if (settled) return;
  if (fireNext()) {
    turnsLeft = EAGER_TURNS;
    watch();
  } else if (globalThis.wit?.Future) {
    throw new Error("the handler waits for a promise that nothing will ever settle");
  } // else the engine tells
}
