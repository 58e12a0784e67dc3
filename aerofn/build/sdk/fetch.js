// `fetch`, Request and Response, over the host's outgoing HTTP, which follows the function's egress policy.

import host from "aerofn:function/host@1.0.0";
import { Body, isBody } from "./body.js";
import { Headers } from "./headers.js";
import { demandInvocation } from "./lifetime.js";

export class Request extends Body {
  constructor(input, init = {}) {
    const base = input instanceof Request ? input : undefined;
    super(init.body ?? base, new Headers(init.headers ?? base?.headers));
    this.url = base ? base.url : String(input).toWellFormed();
    this.method = String(init.method ?? base?.method ?? "GET").toUpperCase();
    this.signal = init.signal ?? base?.signal ?? null;
    this.redirect = init.redirect ?? base?.redirect ?? "follow";
    if (this.body !== null && (this.method === "GET" || this.method === "HEAD")) {
      throw new TypeError(`fetch: a ${this.method} request cannot have a body`);
    }
  }

  clone() {
    return new Request(this);
  }
}

export class Response extends Body {
  constructor(body, { status = 200, statusText = "", headers, url = "", redirected = false } = {}) {
    super(body, new Headers(headers));
    this.status = status;
    this.statusText = statusText;
    this.url = url;
    this.type = "default";
    this.redirected = redirected;
  }

  // What the host answered.
  static received({ body, isBase64Encoded, ...answer }, url) {
    const response = new Response(isBase64Encoded ? Uint8Array.fromBase64(body) : body, { url, ...answer });
    if (answer.headers?.["content-type"] === undefined) response.headers.delete("content-type");
    return response;
  }

  static json(value, init = {}) {
    const headers = new Headers(init.headers);
    if (!headers.has("content-type")) headers.set("content-type", "application/json");
    return new Response(JSON.stringify(value), { ...init, headers });
  }

  static redirect(url, status = 302) {
    return new Response(null, { status, headers: { location: String(url) } });
  }

  get ok() {
    return this.status >= 200 && this.status < 300;
  }

  clone() {
    return new Response(this, this);
  }
}

// The host's report as browsers throw it, with the host's code and hint beside the message.
function failure(report, { method, url }) {
  const { code, message, hint } = report ?? {};
  return Object.assign(new TypeError(`fetch ${method} ${url} failed: ${message}`), { code, hint });
}

function reported(thrown) {
  try {
    return JSON.parse(thrown.payload);
  } catch {
    return { message: String(thrown?.payload ?? thrown) };
  }
}

// Asks the host: [{ ok } or { err }, …], in order. Several requests are one call, and so under way together.
function ask(requests) {
  try {
    const answer = JSON.parse(host.httpFetch(JSON.stringify(requests.length === 1 ? requests[0] : requests)));
    return requests.length === 1 ? [{ ok: answer }] : answer;
  } catch (thrown) {
    const err = reported(thrown);
    return requests.map(() => ({ err }));
  }
}

const AT_ONCE = 32;
let waiting = [];

// What was asked for before the code first waits goes out together, as with Promise.all.
function flush() {
  const all = waiting;
  waiting = [];
  for (let from = 0; from < all.length; from += AT_ONCE) {
    const some = all.slice(from, from + AT_ONCE);
    const answers = ask(some.map(({ sent }) => sent));
    some.forEach(({ settle }, index) => settle(answers[index]));
  }
}

function send(request, more) {
  const { url, method, redirect, signal } = request;
  const sent = { url, method, headers: request.headers.plain(), ...request.sendable(), ...more };
  if (redirect !== "follow") sent.redirect = redirect;
  if (Number.isFinite(signal?.remaining)) sent.timeoutMs = signal.remaining;
  return new Promise((resolve, reject) => {
    const settle = ({ ok, err }) => (err === undefined ? resolve(ok) : reject(failure(err, request)));
    if (waiting.push({ sent, settle }) === 1) queueMicrotask(flush);
  });
}

export async function fetch(input, init) {
  demandInvocation("fetch");
  const request = new Request(input, init);
  const { signal } = request;
  signal?.throwIfAborted();
  try {
    return Response.received(await send(request), request.url);
  } finally {
    signal?.throwIfAborted(); // its reason goes before what the host made of it
  }
}

// Sends the request once the invocation's effects have committed, again until it succeeds, and never if they are
// rolled back. Answers the key by which the receiver can tell a repetition.
async function fetchAfterCommit(input, init) {
  demandInvocation("http.fetchAfterCommit");
  return send(new Request(input, init), { afterCommit: true });
}

function short(method, url, value, init = {}) {
  const headers = new Headers(init.headers);
  const isJson = value !== undefined && !isBody(value);
  if (isJson && !headers.has("content-type")) headers.set("content-type", "application/json");
  return fetch(url, { ...init, method, headers, body: isJson ? JSON.stringify(value) : value });
}

// The short way: what is no body is sent as JSON, and the answer is a Response.
export const http = {
  fetchAfterCommit,
  get: (url, init) => short("GET", url, undefined, init),
  post: (url, body, init) => short("POST", url, body, init),
  put: (url, body, init) => short("PUT", url, body, init),
  patch: (url, body, init) => short("PATCH", url, body, init),
  delete: (url, init) => short("DELETE", url, undefined, init),
};
