// TextEncoder and TextDecoder for UTF-8. The work is done by the engine's native base64 and URI
// functions; only malformed input takes the slower way.

import { utf8toStringLoose } from "@exodus/bytes/utf8.js";

const UTF8 = new Set(["utf-8", "utf8", "unicode-1-1-utf-8"]);

const asBytes = (view) =>
  ArrayBuffer.isView(view) ? new Uint8Array(view.buffer, view.byteOffset, view.byteLength) : new Uint8Array(view);

export const toBytes = (text) => Uint8Array.fromBase64(btoa(unescape(encodeURIComponent(text.toWellFormed()))));

export function fromBytes(bytes) {
  try {
    return decodeURIComponent(escape(atob(bytes.toBase64())));
  } catch {
    return utf8toStringLoose(bytes);
  }
}

export class TextEncoder {
  get encoding() {
    return "utf-8";
  }

  encode(text = "") {
    return toBytes(String(text));
  }

  encodeInto(text, target) {
    let read = 0;
    let written = 0;
    for (const character of String(text)) {
      const bytes = toBytes(character);
      if (written + bytes.length > target.length) break;
      target.set(bytes, written);
      read += character.length;
      written += bytes.length;
    }
    return { read, written };
  }
}

export class TextDecoder {
  #pending = new Uint8Array(0);

  constructor(label = "utf-8", { fatal = false, ignoreBOM = false } = {}) {
    if (!UTF8.has(String(label).trim().toLowerCase())) {
      throw new RangeError(`TextDecoder knows utf-8 only, not ${label}`);
    }
    Object.defineProperties(this, {
      encoding: { value: "utf-8" },
      fatal: { value: Boolean(fatal) },
      ignoreBOM: { value: Boolean(ignoreBOM) },
    });
  }

  decode(view = new Uint8Array(0), { stream = false } = {}) {
    let bytes = joined(this.#pending, asBytes(view));
    const end = stream ? completeLength(bytes) : bytes.length;
    this.#pending = bytes.slice(end);
    bytes = bytes.subarray(0, end);
    const text = this.fatal ? strict(bytes) : fromBytes(bytes);
    return !this.ignoreBOM && text.startsWith("\ufeff") ? text.slice(1) : text;
  }
}

function strict(bytes) {
  try {
    return decodeURIComponent(escape(atob(bytes.toBase64())));
  } catch {
    throw new TypeError("the encoded data is not valid utf-8");
  }
}

function joined(first, second) {
  if (first.length === 0) return second;
  const all = new Uint8Array(first.length + second.length);
  all.set(first);
  all.set(second, first.length);
  return all;
}

// Length of `bytes` without a character that is cut off at the end.
function completeLength(bytes) {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back];
    if (byte >= 0xc0) return back < (byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2) ? bytes.length - back : bytes.length;
    if (byte < 0x80) break;
  }
  return bytes.length;
}
