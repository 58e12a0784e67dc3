// One case for each promise of the SDK that needs no web platform; see test_sdk.py.

const topRandom = Math.random();
const topNow = [Date.now(), new Date().getTime(), performance.now()];
const table = new Map([["made", "at the top level"]]);
let calls = 0;
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const cases = {
  echo: (input) => input,
  nothing: () => undefined,
  async query({ sql, params }) {
    const result = await db.query(sql, params);
    const [first] = result;
    return { rows: result.rows, rowCount: result.rowCount, first: first ?? null, types: typesOf(first ?? {}) };
  },
  async parameters() {
    await db.query("select 1", [
      new Date(0), new Uint8Array([0, 255]), 12345678901234567890n, undefined, NaN, -Infinity, 1.5, "é",
      { at: new Date(0), big: 1n, list: [undefined, 2] }, [1, null], true,
    ]);
  },
  async queryError() {
    try {
      await db.query("insert");
    } catch (error) {
      return { isError: error instanceof Error, isPgError: error instanceof PgError, name: error.name, ...error };
    }
  },
  async queryErrorUncaught() {
    await db.query("insert");
  },
  async badParameters() {
    await db.query("select $1", "x");
  },
  async together() {
    const all = await Promise.all([1, 2, 3].map((n) => db.query("select $1", [n])));
    return all.map(({ rowCount }) => rowCount);
  },
  log() {
    console.log("plain", 1, true, null, undefined, 10n);
    console.debug({ a: 1, b: "x", c: [1, 2, { d: { e: 1 } }] });
    console.warn("%s has %d of %i, %j and 100%", "tea", 4.5, 7.9, { a: 1 }, "more");
    console.error(new TypeError("wrong"));
    console.info([new Map([["k", new Set([1])]]), new Date(0), /x/g, class Tea {}, function brew() {}, Symbol("s")]);
    const ring = { name: "ring" };
    ring.self = ring;
    console.log(ring);
    console.log({ long: "x".repeat(60), other: "y".repeat(30) });
    console.log(new (class Order { id = 1 })(), Object.create(null), [], {}, "it's", ["it's"], -0);
    console.group("group");
    console.log("inner\nline");
    console.groupEnd();
    console.assert(1 === 2, "sums");
    console.count();
    console.countReset();
    console.count();
  },
  console: () => Object.keys(console).sort(),
  env: () => ({ key: env.KEY, got: env.get("KEY"), missing: env.MISSING ?? "none", has: "KEY" in env }),
  envOfNoKeys: () => [
    ...["constructor", "toString", "hasOwnProperty", "__proto__"].map((key) => [env[key] ?? null, env.has(key), key in env]),
    Object.getPrototypeOf(env),
  ],
  random: () => ({ numbers: [Math.random(), Math.random()], uuid: crypto.randomUUID(), bytes: [...crypto.getRandomValues(new Uint8Array(8))] }),
  topLevel: () => ({ topRandom, topNow, now: Date.now(), date: new Date().getTime(), isDate: new Date() instanceof Date }),
  async timers() {
    const order = [];
    setTimeout(() => order.push("late"), 8);
    setTimeout((what) => order.push(what), 2, "soon");
    clearTimeout(setTimeout(() => order.push("never"), 1));
    queueMicrotask(() => order.push("micro"));
    for (let i = 0; i < 100; i++) await null;
    order.push("after microtasks");
    let ticks = 0;
    const interval = setInterval(() => { if (++ticks === 3) clearInterval(interval); }, 1);
    const started = performance.now();
    await pause(12);
    return { order, ticks, waited: performance.now() - started >= 12 };
  },
  async timerError() {
    setTimeout(() => { throw new Error("in timer"); }, 0);
    await pause(1);
    return "done";
  },
  stuck: () => new Promise(() => {}),
  throwError() {
    const error = new RangeError("too much");
    error.retry = false;
    throw error;
  },
  throwText: () => { throw "just text"; },
  throwObject: () => { throw { name: "Odd", message: "an object", retry: false }; },
  throwRing() {
    const ring = {};
    ring.ring = ring;
    throw ring;
  },
  async throwUnreadable() {
    throw Object.defineProperty(new Error(), "name", { get() { throw new Error("unreadable"); } });
  },
  async throwCauses() {
    const error = new Error("round");
    error.cause = error;
    throw error;
  },
  resolveAndThrow: () => new Promise((done) => {
    setTimeout(() => {
      done("resolved");
      throw Object.defineProperty(new Error(), "stack", { get() { throw new Error("unreadable"); } });
    }, 1);
  }),
  returnRing() {
    const ring = {};
    ring.ring = ring;
    return ring;
  },
  returnDeep({ deep }) {
    let value = 1;
    for (let left = deep; left > 0; left--) value = [value];
    return value;
  },
  async halfCharacters() {
    console.log("\ud800");
    await db.query("select '\ud800'", ["\ud800"]);
    return ["\ud800", env.get("\ud800") ?? null];
  },
  async throwCause() {
    throw new Error("outer", { cause: new Error("inner") });
  },
  returnBig: () => ({ big: 2n ** 70n, bytes: new Uint8Array([1, 171]), at: new Date(0), nan: NaN }),
  fresh: () => [++calls, table.get("made")],
  self: () => globalThis.self === globalThis,
  eventOf: (_input, event) => event,
};

const typesOf = (row) => Object.fromEntries(Object.entries(row).map(([key, value]) => [key, typeof value]));

export async function handler(input, event) {
  return cases[input.case](input, event);
}
