// A function that does what its input asks for, for the tests of the service around it.
//
//   {"do": "query", "queries": [[sql, params], …]}   results, or errors that were caught
//   {"do": "each", "queries": […]}                   the same, but the first error fails it
//   {"do": "fail", "queries": […]}                   the same, then throws
//   {"do": "throw" | "spin" | "grow" | "recurse" | "forever" | "log" | "nul" | "env" | "event" | "raw", …}

const actions = {
  query: async ({ queries }) => run(queries),
  each: async ({ queries }) => {
    for (const [sql, params] of queries) await db.query(sql, params ?? []);
  },
  fail: async ({ queries }) => {
    await run(queries);
    throw new TypeError("failed on purpose");
  },
  uncaught: async ({ queries }) => db.query(...queries[0]),
  types: async ({ queries }) => {
    const { rows } = await db.query(...queries[0]);
    return Object.fromEntries(Object.entries(rows[0]).map(([name, value]) => [name, [typeof value, value]]));
  },
  throw: async ({ retry }) => {
    const error = new RangeError("out of range on purpose");
    if (retry !== undefined) error.retry = retry;
    throw error;
  },
  spin: async () => {
    for (;;);
  },
  grow: async () => {
    const kept = [];
    for (;;) kept.push(new Uint8Array(1 << 20).fill(1));
  },
  recurse: async () => {
    const deeper = (n) => deeper(n + 1) + 1;
    return deeper(0);
  },
  forever: async () => new Promise(() => {}),
  log: async () => {
    for (const level of ["debug", "info", "warn", "error"]) console[level](level, { a: [1] });
    return null;
  },
  nul: async () => {
    console.log("a\0b");
    throw new Error("c\0d");
  },
  env: async ({ keys }) => keys.map((key) => env[key] ?? null),
  event: async (_input, event) => event,
  raw: async ({ value }) => value,
};

async function run(queries) {
  const results = [];
  for (const [sql, params] of queries) {
    try {
      const { rows, rowCount } = await db.query(sql, params ?? []);
      results.push({ rows, rowCount });
    } catch ({ name, code, message, detail, hint, constraint, table }) {
      results.push({ error: { name, code, message, detail, hint, constraint, table } });
    }
  }
  return results;
}

// What a browser that follows a link sends has no body: /page answers with the HTML of its query.
function page({ search }) {
  return { statusCode: 200, headers: { "content-type": "text/html" }, body: decodeURIComponent(search.slice(1)) };
}

export async function handler(input, event) {
  if (event.request?.path === "/page") return page(event.request);
  return actions[input?.do ?? "event"](input, event);
}
