// The event of an HTTP request, parsed when something of it is first looked at: most handlers want its body alone, and
// a browser's headers take longer to parse than many a handler runs.
//
// The object is made once and is in the snapshot, for a sandbox has one event. There is no long number in its text.

// What the host puts behind a text whose only `"body":` is the request's, and whose body ends in front of the last `}}`.
const FOUND = "\n ";
const BODY = '"body":';
const END = -"}}".length - FOUND.length;

let before; // the text in front of the body
let body;
let whole;

function event() {
  if (whole === undefined) {
    whole = JSON.parse(`${before}null}}`);
    whole.request.body = body; // the handler's first argument, which it may have changed
  }
  return whole;
}

export const lazyEvent = {};
for (const key of ["id", "trigger", "attempt", "caller", "request"]) {
  Object.defineProperty(lazyEvent, key, {
    get: () => event()[key],
    // As an assignment to a plain field does, which a frozen object refuses
    set(value) {
      Object.defineProperty(this, key, { value, writable: true, enumerable: true, configurable: true });
    },
    enumerable: true,
    configurable: true,
  });
}

export const isFound = (given) => given.endsWith(FOUND);

// The body of the request that `given` tells of; `lazyEvent` is its event from then on.
export function bodyOf(given) {
  const at = given.indexOf(BODY) + BODY.length;
  before = given.slice(0, at);
  body = JSON.parse(given.slice(at, END));
  return body;
}

// As it would be without accessors, whatever became of it.
export const inPlaceOf = (value) => (value === lazyEvent ? { ...lazyEvent } : value);
