// Makes the component's exports. The entry that node/bundle.mjs writes imports the SDK first, then the
// author's file, and hands over what that exported.

import { begin } from "./lifetime.js";
import { restoreDate } from "./clock.js";
import { call, findHandler } from "./entry.js";
import { describe, useSourceMap } from "./errors.js";
import { stringify } from "./json.js";
import { settle } from "./timers.js";
import { warm } from "./warm.js";

function outputOf(value) {
  if (!globalThis.Response || !(value instanceof Response)) return value;
  return { statusCode: value.status, headers: value.headers.plain(), ...value.sendable() };
}

// The `handle` of the world, around the author's function. What it returns is no promise but has its `then`, which is
// called at once: a promise around the handler's own would hand the outcome on in several turns more.
export function serve(exported, readSourceMap) {
  useSourceMap(readSourceMap);
  const handler = findHandler(exported);
  restoreDate();
  warm();
  return (text) => ({
    then(succeeded, failed) {
      const fail = (thrown) => failed(JSON.stringify(describe(thrown)));
      begin();
      try {
        settle(call(handler, text), (value) => succeeded(stringify(outputOf(value))), fail);
      } catch (thrown) {
        fail(thrown);
      }
    },
  });
}

// See wit/world.wit.
export function turn() {
  throw new Error("never called");
}
