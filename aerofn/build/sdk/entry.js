// Which function of the author's file is the handler, and what it is called with.

import { parseEvent } from "./json.js";
import { bodyOf, isFound, lazyEvent } from "./later.js";

const NO_ENTRY =
  "no function to run was found: export one, for example `export async function handler(input, event) { … }`";

// `handler`, else the default export, else the only exported function.
export function findHandler(exported) {
  for (const name of ["handler", "default"]) {
    if (typeof exported[name] === "function") return exported[name];
    if (typeof exported.default?.[name] === "function") return exported.default[name]; // CommonJS
  }
  const functions = Object.values(exported).filter((value) => typeof value === "function");
  if (functions.length === 1) return functions[0];
  if (functions.length === 0) throw new Error(NO_ENTRY);
  const names = Object.keys(exported).filter((name) => typeof exported[name] === "function");
  throw new Error(`${names.join(", ")} are exported and none is called \`handler\`: name the one to run so`);
}

// Calls the handler with what the event is about, and with the whole event.
export function call(handler, text) {
  if (isFound(text)) return handler(bodyOf(text) ?? {}, lazyEvent);
  const event = parseEvent(text);
  return handler(inputOf(event), event);
}

function inputOf(event) {
  if (event.batch) return event.batch.map(inputOf);
  if (event.trigger === "http" || event.trigger === "webhook") return event.request?.body ?? {};
  if (event.trigger === "row") return event.record ?? event.old_record;
  return event.payload ?? {};
}
