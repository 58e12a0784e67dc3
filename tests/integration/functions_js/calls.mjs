// Calls the function `echo` at process.env.URL as applications do; prints what each call came to, as JSON.

import { FunctionRegion, FunctionsClient, FunctionsFetchError, FunctionsHttpError, FunctionsRelayError } from "@supabase/functions-js";

const client = new FunctionsClient(process.env.URL, {
  headers: { apikey: process.env.TOKEN, "x-client-info": "supabase-js-node/2.0" },
});
client.setAuth(process.env.TOKEN);
const KINDS = [FunctionsHttpError, FunctionsRelayError, FunctionsFetchError];

async function shown(data) {
  if (data instanceof Blob) return { type: data.type, bytes: [...new Uint8Array(await data.arrayBuffer())] };
  if (data instanceof FormData) {
    const fields = {};
    for (const [name, value] of data) fields[name] = value instanceof Blob ? { file: value.name, text: await value.text() } : value;
    return { fields };
  }
  return data;
}

async function call(name, options) {
  const { data, error, response } = await client.invoke(name, options);
  if (!error) return { data: await shown(data), status: response.status };
  const kind = KINDS.find((one) => error instanceof one)?.name ?? String(error);
  const answered = response ? { status: response.status, body: await response.json(), why: response.headers.get("x-why") } : null;
  return { error: kind, message: error.message, answered };
}

const form = new FormData();
form.set("a", "1");
form.set("file", new File(["content"], "notes.txt", { type: "text/plain" }));

const results = {
  json: await call("echo", { body: { name: "Ada", list: [1, null, "é"] } }),
  nothing: await call("echo", {}),
  string: await call("echo", { body: "plain" }),
  blob: await call("echo", { body: new Blob([new Uint8Array([0, 255])]) }),
  buffer: await call("echo", { body: new Uint8Array([1, 2]).buffer }),
  form: await call("echo?want=same", { body: form }),
  text: await call("echo", { body: { want: "text" } }),
  binary: await call("echo", { body: { want: "blob" } }),
  response: await call("echo", { body: { want: "response" } }),
  get: await call("echo/a/b?x=1", { method: "GET" }),
  put: await call("echo", { method: "PUT", body: { a: 1 } }),
  patch: await call("echo", { method: "PATCH", body: { a: 1 } }),
  delete: await call("echo", { method: "DELETE" }),
  headers: await call("echo", { body: {}, headers: { "My-Custom-Header": "value", "Content-Type": "application/vnd.api+json" } }),
  region: await call("echo", { body: {}, region: FunctionRegion.UsEast1 }),
  refused: await call("echo", { body: { want: "refuse" } }),
  thrown: await call("echo", { body: { want: "throw" } }),
  missing: await call("nothing", {}),
  aborted: await call("echo", { body: { want: "spin" }, timeout: 500 }),
  once: await call("echo", { body: { n: 1 }, headers: { "Idempotency-Key": "k1" } }),
};
client.setAuth("not.a.token");
results.unknown = await call("echo", {});
console.log(JSON.stringify(results));
