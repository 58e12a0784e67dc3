// `fetch`, Request and Response, over the host's outgoing HTTP, which follows the function's egress policy.

import host from "aerofn:function/host@1.0.0";
import { Body } from "./body.js";
import { Headers } from "./headers.js";
import { demandInvocation } from "./lifetime.js";

export class Request extends Body {
  constructor(input, init = {}) {
    const base = input instanceof Request ? input : undefined;
    super(init.body ?? base, new Headers(init.headers ?? base?.headers));
    this.url = base ? base.url : String(input);
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
  constructor(body, { status = 200, statusText = "", headers, url = "" } = {}) {
    super(body, new Headers(headers));
    this.status = status;
    this.statusText = statusText;
    this.url = url;
    this.type = "default";
    this.redirected = false;
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

function failure(thrown, request) {
  let report = {};
  try {
    report = JSON.parse(thrown.payload);
  } catch {
    report.message = String(thrown?.payload ?? thrown);
  }
  const error = new TypeError(`fetch ${request.method} ${request.url} failed: ${report.message}`);
  return Object.assign(error, { code: report.code });
}

export async function fetch(input, init) {
  demandInvocation("fetch");
  const request = new Request(input, init);
  request.signal?.throwIfAborted();
  const { url, method } = request;
  const sent = JSON.stringify({ url, method, headers: Object.fromEntries(request.headers), body: request.sendable() });
  let answer;
  try {
    answer = JSON.parse(host.httpFetch(sent));
  } catch (thrown) {
    throw failure(thrown, request);
  }
  request.signal?.throwIfAborted();
  return new Response(answer.body, { status: answer.status, headers: answer.headers, url: answer.url ?? url });
}

const asBody = (value) =>
  typeof value === "string" || value instanceof Uint8Array || value === undefined
    ? { body: value }
    : { body: JSON.stringify(value), headers: { "content-type": "application/json" } };

function send(method, url, value, init = {}) {
  const { body, headers } = asBody(value);
  return fetch(url, { ...init, method, body, headers: { ...headers, ...init.headers } });
}

// The short way: objects are sent as JSON, and the answer is a Response.
export const http = {
  get: (url, init) => send("GET", url, undefined, init),
  post: (url, body, init) => send("POST", url, body, init),
  put: (url, body, init) => send("PUT", url, body, init),
  patch: (url, body, init) => send("PATCH", url, body, init),
  delete: (url, init) => send("DELETE", url, undefined, init),
};
