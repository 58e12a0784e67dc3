// Makes the component's exports. The entry that node/bundle.mjs writes imports the SDK first, then the
// author's file, and hands over what that exported.

import { begin } from "./lifetime.js";
import { restoreDate } from "./clock.js";
import { findHandler, inputOf } from "./entry.js";
import { describe, useSourceMap } from "./errors.js";
import { parse, stringify } from "./json.js";
import { settle } from "./timers.js";

function outputOf(value) {
  if (!globalThis.Response || !(value instanceof Response)) return value;
  return { statusCode: value.status, headers: value.headers.plain(), ...value.sendable() };
}

// The `handle` of the world, around the author's function.
export function serve(exported, readSourceMap) {
  useSourceMap(readSourceMap);
  const handler = findHandler(exported);
  restoreDate();
  return async function handle(text) {
    begin();
    try {
      const event = parse(text);
      const value = await settle(Promise.resolve(handler(inputOf(event), event)));
      return stringify(outputOf(value));
    } catch (thrown) {
      throw JSON.stringify(describe(thrown));
    }
  };
}

// See wit/world.wit.
export function turn() {
  throw new Error("never called");
}
