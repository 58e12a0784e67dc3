// What Request and Response share: a body that is held whole and can be read once. There are no
// streams: `body` is the body's text, or null.

import { Blob } from "./blob.js";
import { fromBytes, toBytes } from "./encoding.js";
import { parse } from "./json.js";

const isForm = (value) => Object.prototype.toString.call(value) === "[object URLSearchParams]";
const isBytes = (value) => value instanceof ArrayBuffer || ArrayBuffer.isView(value) || value instanceof Blob;

// Whether a value is sent as it is.
export const isBody = (value) => typeof value === "string" || isBytes(value) || isForm(value);

// The body as text or bytes, with the content type it implies.
function taken(value) {
  if (value === undefined || value === null) return { content: null, type: null };
  if (typeof value === "string") return { content: value, type: "text/plain;charset=UTF-8" };
  if (value instanceof ArrayBuffer) return { content: new Uint8Array(value.slice(0)), type: null };
  if (ArrayBuffer.isView(value)) {
    return { content: new Uint8Array(value.buffer, value.byteOffset, value.byteLength).slice(), type: null };
  }
  if (value instanceof Blob) return { content: value.view().slice(), type: value.type || null };
  return { content: String(value), type: isForm(value) ? "application/x-www-form-urlencoded;charset=UTF-8" : "text/plain;charset=UTF-8" };
}

export class Body {
  #content;
  #used = false;

  constructor(value, headers) {
    const { content, type } = value instanceof Body ? { content: value.#content, type: null } : taken(value);
    this.#content = content;
    this.headers = headers;
    if (type !== null && !headers.has("content-type")) headers.set("content-type", type);
  }

  get bodyUsed() {
    return this.#used;
  }

  get body() {
    return this.#content === null ? null : this.#asText();
  }

  // The body as the host carries it.
  sendable() {
    if (this.#content === null) return {};
    if (typeof this.#content === "string") return { body: this.#content.toWellFormed() };
    return { body: this.#content.toBase64(), isBase64Encoded: true };
  }

  async blob() {
    return new Blob([await this.bytes()], { type: this.headers.get("content-type") ?? "" });
  }

  async text() {
    this.#use();
    return this.#asText().replace(/^\ufeff/, "");
  }

  async json() {
    return parse(await this.text());
  }

  async bytes() {
    this.#use();
    return typeof this.#content === "string" ? toBytes(this.#content) : (this.#content ?? new Uint8Array(0)).slice();
  }

  async arrayBuffer() {
    return (await this.bytes()).buffer;
  }

  #asText() {
    return typeof this.#content === "string" ? this.#content : fromBytes(this.#content ?? new Uint8Array(0));
  }

  #use() {
    if (this.#used) throw new TypeError("the body has already been read");
    this.#used = true;
  }
}
