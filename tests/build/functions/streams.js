// On SpiderMonkey: the web platform of the engine, and AeroFn's own names beside it; see test_spidermonkey.py.

const topLevel = [Math.random(), Date.now()];
let calls = 0;

async function streamed(text) {
  const stream = new ReadableStream({
    start(controller) {
      for (const part of text.split(" ")) controller.enqueue(part.toUpperCase());
      controller.close();
    },
  });
  const parts = [];
  const reader = stream.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return parts;
    parts.push(value);
  }
}

const cases = {
  streams: ({ text }) => streamed(text),
  async crypto() {
    const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode("abc"));
    return [new Uint8Array(digest).toHex(), crypto.randomUUID().length];
  },
  async query() {
    const [row] = await db.query("SELECT $1", [2n ** 60n]);
    console.log("found", row);
    return [row, env.KEY ?? null];
  },
  async fetch() {
    const answer = await http.post("https://a.example/", { a: 1 });
    return [answer.status, await answer.json()];
  },
  fresh: () => [++calls, Math.random(), Date.now(), topLevel],
  async timers() {
    const order = [];
    setTimeout(() => order.push("late"), 8);
    setTimeout(() => order.push("soon"), 2);
    await new Promise((resolve) => setTimeout(resolve, 12));
    return order;
  },
  async fail() {
    await null;
    throw new RangeError("too much");
  },
  url: () => [new URL("/b?x=1", "https://a.example").href, structuredClone(new Map([[1, 2]])).get(1), atob(btoa("hi"))],
};

export async function handler(input) {
  return cases[input.case](input);
}
