// One case for each part of the web platform that the SDK brings; see test_sdk.py.

const text = (bytes) => [...new Uint8Array(bytes)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
const bytes = (value) => new TextEncoder().encode(value);

async function failure(action) {
  try {
    await action();
    return "no error";
  } catch (error) {
    return { name: error.name, message: error.message, code: error.code };
  }
}

const hmacKey = (hash, usages = ["sign", "verify"], extractable = false) =>
  crypto.subtle.importKey("raw", bytes("secret"), { name: "HMAC", hash }, extractable, usages);

const cases = {
  async fetch({ url, init }) {
    const response = await fetch(url, init);
    const copy = response.clone();
    return {
      ok: response.ok, status: response.status, type: response.headers.get("Content-Type"),
      headers: [...response.headers], json: await response.json(), text: await copy.text(), used: response.bodyUsed,
    };
  },
  async fetchBody() {
    await fetch(new Request("https://a.example/form", { method: "post", body: new URLSearchParams({ a: "1 2", b: "é" }) }));
    await fetch(new URL("https://a.example/json"), { method: "PUT", body: JSON.stringify({ a: 1 }), headers: { "X-A": "1" } });
    await fetch("https://a.example/bytes", { method: "POST", body: bytes("héllo"), headers: [["x-b", "2"]] });
  },
  async fetchTwice() {
    const response = await fetch("https://a.example/");
    await response.text();
    return failure(() => response.text());
  },
  fetchFails: () => failure(() => fetch("https://refused.example/")),
  async fetchBinary() {
    const body = new Blob([new Uint8Array([0xff]), "é"], { type: "Image/X" });
    const response = await fetch("https://a.example/", { method: "POST", body });
    const blob = await response.clone().blob();
    return {
      bytes: text(await response.clone().bytes()), buffer: text(await response.clone().arrayBuffer()),
      text: await response.text(), blob: [blob.size, blob.type, text(await blob.bytes())], url: response.url,
      redirected: response.redirected, cookies: response.headers.getSetCookie(), plain: response.headers.get("x-a"),
      listed: [...response.headers].filter(([name]) => name === "set-cookie").length, status: response.statusText,
    };
  },
  async fetchTogether() {
    const urls = Array.from({ length: 40 }, (_, n) => `https://a.example/${n}`);
    const settled = await Promise.allSettled(urls.map((url) => fetch(url)));
    return settled.map(({ value, reason }) => value?.status ?? reason.code);
  },
  fetchAfterCommit: () => http.fetchAfterCommit("https://a.example/", { method: "POST", body: "x" }),
  responseBinary: () => new Response(new Uint8Array([0xff]), { headers: [["set-cookie", "a=1"], ["set-cookie", "b=2"]] }),
  fetchGetBody: () => failure(() => fetch("https://a.example/", { body: "x" })),
  async http() {
    const got = await http.get("https://a.example/get");
    const posted = await http.post("https://a.example/post", { name: "tea" });
    return { got: await got.json(), posted: posted.status, body: posted.body };
  },
  async httpBodies() {
    await http.post("https://a.example/", new URLSearchParams({ a: "1 2" }));
    await http.put("https://a.example/", new Uint16Array([1]).buffer);
    await http.patch("https://a.example/", { a: 1 }, { headers: { "Content-Type": "application/merge-patch+json" } });
    await http.post("https://a.example/", null, { headers: new Headers({ "x-a": "1" }) });
  },
  async arrayBuffer() {
    const response = await fetch("https://a.example/");
    return text(await response.arrayBuffer());
  },
  headers() {
    const headers = new Headers({ "Content-Type": "text/plain" });
    headers.append("X-A", "1");
    headers.append("x-a", "2");
    headers.delete("content-type");
    return { all: [...headers], has: headers.has("X-a"), none: headers.get("y") };
  },
  badHeader: () => failure(() => new Headers({ "a b": "1" })),
  response: () => new Response("made", { status: 201, headers: { "X-Made": "yes" } }),
  responseJson: () => Response.json({ ok: true }, { status: 202 }),
  async abort() {
    const controller = new AbortController();
    controller.abort();
    const late = AbortSignal.timeout(0);
    return {
      before: await failure(() => fetch("https://a.example/", { signal: controller.signal })),
      late: await failure(() => fetch("https://a.example/", { signal: late })),
      ready: (await fetch("https://a.example/", { signal: AbortSignal.timeout(60_000) })).status,
    };
  },
  async digest() {
    const all = {};
    for (const name of ["SHA-1", "SHA-256", "SHA-384", "SHA-512"]) all[name] = text(await crypto.subtle.digest(name, bytes("abc")));
    return all;
  },
  async hmac() {
    const key = await hmacKey("SHA-256", ["sign", "verify"], true);
    const signature = await crypto.subtle.sign("HMAC", key, bytes("message"));
    return {
      signature: text(signature),
      good: await crypto.subtle.verify("HMAC", key, signature, bytes("message")),
      bad: await crypto.subtle.verify("HMAC", key, signature, bytes("other")),
      jwk: await crypto.subtle.exportKey("jwk", key),
    };
  },
  async cryptoRefused() {
    const signOnly = await hmacKey("SHA-256", ["sign"]);
    return [
      await failure(() => crypto.subtle.importKey("raw", bytes("x"), "AES-GCM", false, ["encrypt"])),
      await failure(() => crypto.subtle.digest("MD5", bytes("x"))),
      await failure(() => crypto.subtle.verify("HMAC", signOnly, bytes("x"), bytes("y"))),
      await failure(() => crypto.subtle.exportKey("raw", signOnly)),
      await failure(() => crypto.getRandomValues(new Float64Array(1))),
      await failure(() => crypto.getRandomValues(new Uint8Array(70000))),
    ];
  },
  encoding() {
    const sample = "aé€😀";
    const decoder = new TextDecoder();
    const encoded = bytes(sample);
    const pieces = [encoded.slice(0, 4), encoded.slice(4, 8), encoded.slice(8)];
    return {
      hex: text(encoded),
      back: new TextDecoder().decode(encoded),
      streamed: pieces.map((piece) => decoder.decode(piece, { stream: true })).join("") + decoder.decode(),
      loose: new TextDecoder().decode(new Uint8Array([0x61, 0xff, 0x62])),
      lone: text(bytes("\ud800")),
      bom: new TextDecoder().decode(new Uint8Array([0xef, 0xbb, 0xbf, 0x61])),
      into: new TextEncoder().encodeInto("é€", new Uint8Array(4)),
      base64: [btoa("hi"), atob("aGk=")],
    };
  },
  strict: () => failure(() => new TextDecoder("utf-8", { fatal: true }).decode(new Uint8Array([0xff]))),
  unknownEncoding: () => failure(() => new TextDecoder("shift_jis")),
  url() {
    const url = new URL("../b c?x=1&y=%20#h", "https://user:pw@exämple.com:8443/a/d/");
    url.searchParams.append("q", "ü&");
    return { href: url.href, host: url.host, y: url.searchParams.get("y"), can: URL.canParse("nope"), json: JSON.stringify({ url }) };
  },
  params: () => [...new URLSearchParams("a=1&b=2&a=3").getAll("a"), new URLSearchParams({ x: "1 2" }).toString()],
  clone() {
    const source = { at: new Date(5), map: new Map([[1, { a: 1 }]]), set: new Set([1]), bytes: new Uint8Array([1, 2]) };
    source.self = source;
    const copy = structuredClone(source);
    copy.map.get(1).a = 2;
    return [copy.self === copy, copy.at.getTime(), source.map.get(1).a, copy.set.has(1), copy.bytes[1]];
  },
};

export default async function (input) {
  return cases[input.case](input);
}
