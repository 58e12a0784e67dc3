// Blob: bytes with a type, all in memory. There are no streams.

import { fromBytes, toBytes } from "./encoding.js";

const bytesOf = (part) => {
  if (part instanceof Blob) return part.view();
  if (part instanceof ArrayBuffer) return new Uint8Array(part);
  if (ArrayBuffer.isView(part)) return new Uint8Array(part.buffer, part.byteOffset, part.byteLength);
  return toBytes(String(part));
};

export class Blob {
  #bytes;

  constructor(parts = [], { type = "" } = {}) {
    const all = [...parts].map(bytesOf);
    this.#bytes = new Uint8Array(all.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const bytes of all) {
      this.#bytes.set(bytes, at);
      at += bytes.length;
    }
    this.type = /^[\x20-\x7e]*$/.test(type) ? String(type).toLowerCase() : "";
  }

  get size() {
    return this.#bytes.length;
  }

  slice(start, end, type = "") {
    return new Blob([this.#bytes.subarray(start, end)], { type });
  }

  // The bytes themselves; not to be written to.
  view() {
    return this.#bytes;
  }

  async bytes() {
    return this.#bytes.slice();
  }

  async arrayBuffer() {
    return this.#bytes.slice().buffer;
  }

  async text() {
    return fromBytes(this.#bytes);
  }
}
