// One guest of many tempers: `event.do` chooses what it does. Built by tests/runtime/conftest.py.
import host from "aerofn:function/host@1.0.0";

let visits = 0; // would count invocations if anything were shared between them

const deeds = {
  greet: (e) => ({ message: `Hello, ${e.name ?? "World"}!` }),
  echo: (e) => e,
  query: (e) => JSON.parse(host.dbQuery(e.sql ?? "select 1", JSON.stringify(e.params ?? []))),
  queries: (e) => {
    for (let i = 0; i < e.times; i++) host.dbQuery(e.sql ?? "select 1", "[]");
    return { times: e.times };
  },
  caught: (e) => {
    try {
      return host.dbQuery("bad", "[]");
    } catch (error) {
      return { caught: JSON.parse(error.payload ?? "null"), text: String(error) };
    }
  },
  fetch: (e) => JSON.parse(host.httpFetch(JSON.stringify({ url: e.url }))),
  env: (e) => ({ value: host.env(e.key) ?? null }),
  log: (e) => {
    for (let i = 0; i < (e.times ?? 1); i++) host.log(e.level ?? "info", e.text ?? `line ${i}`);
    return { logged: e.times ?? 1 };
  },
  visits: () => ({ visits: ++visits }),
  random: () => ({ random: Math.random(), now: Date.now() }),
  spin: () => {
    for (;;);
  },
  work: (e) => {
    let sum = 0;
    for (let i = 0; i < e.rounds; i++) sum = (sum + i * i) % 1000003;
    return { sum };
  },
  recurse: () => {
    const down = (n) => 1 + down(n + 1);
    return down(0);
  },
  bomb: () => {
    const kept = [];
    for (;;) kept.push(new Uint8Array(1 << 20).fill(1));
  },
  strings: () => {
    let text = "x";
    for (;;) text += text;
  },
  use: (e) => {
    const kept = [];
    for (let i = 0; i < e.mb; i++) kept.push(new Uint8Array(1 << 20).fill(1));
    return { mb: kept.length };
  },
  large: (e) => "x".repeat(e.bytes),
  never: () => new Promise(() => {}),
  throw: (e) => {
    throw Object.assign(new Error(e.message ?? "thrown"), e.fields ?? {});
  },
  surrogate: () => ({ text: "\ud800 alone" }),
};

export async function handle(text) {
  const event = JSON.parse(text);
  const deed = deeds[event.do];
  if (!deed) throw "no such deed: " + event.do;
  return JSON.stringify(await deed(event)) ?? "null";
}
