// The event of an HTTP request, parsed when something of it is first looked at: most handlers want its body alone, and
// a browser's headers take longer to parse than many a handler runs.
//
// The object is made once and is in the snapshot, for a sandbox has one event.

import { parseEvent } from "./json.js";

// What the host puts behind a text whose only `"body":` is the request's, and whose body ends in front of the last `}}`.
const FOUND = "\n ";
const BODY = '"body":';
const END = -"}}".length - FOUND.length;

let text;
let body;
let whole;

function event() {
  if (whole === undefined) {
    whole = parseEvent(text);
    whole.request.body = body; // the handler's first argument, which it may have changed
  }
  return whole;
}

export const later = {};
for (const key of ["id", "trigger", "attempt", "caller", "request"]) {
  Object.defineProperty(later, key, {
    get: () => event()[key],
    set: (value) => (event()[key] = value),
    enumerable: true,
    configurable: true,
  });
}

export const isFound = (given) => given.endsWith(FOUND);

// The body of the request that `given` tells of; `later` is its event from then on.
export function bodyOf(given) {
  text = given;
  body = JSON.parse(text.slice(text.indexOf(BODY) + BODY.length, END));
  return body;
}

// The event itself in the place of what stands for it.
export const inPlaceOf = (value) => (value === later ? event() : value);
