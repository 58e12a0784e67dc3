// Randomness that is new in every invocation. The snapshot would freeze the engine's own seed, so
// Math.random is seeded from the host at its first use in an invocation.

import wasi from "wasi:random/random@0.2.12";
import { demandInvocation, isRunning } from "./lifetime.js";

const INTEGERS = [
  Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array,
  BigInt64Array, BigUint64Array,
];
const QUOTA = 65536;

let state; // four 32-bit words of xoshiro128**
let builtIn = 1;

const rotate = (word, by) => (word << by) | (word >>> (32 - by));

function word() {
  state ??= new Int32Array(randomBytes(16).buffer);
  const result = Math.imul(rotate(Math.imul(state[1], 5), 7), 9) >>> 0;
  const shifted = state[1] << 9;
  state[2] ^= state[0];
  state[3] ^= state[1];
  state[1] ^= state[2];
  state[0] ^= state[3];
  state[2] ^= shifted;
  state[3] = rotate(state[3], 11);
  return result;
}

// While the function is built there is no randomness: a fixed sequence keeps the build reproducible.
function fixed() {
  builtIn = (Math.imul(builtIn, 1664525) + 1013904223) >>> 0;
  return builtIn / 2 ** 32;
}

Math.random = function random() {
  return isRunning() ? ((word() >>> 5) * 2 ** 26 + (word() >>> 6)) / 2 ** 53 : fixed();
};

export function randomBytes(length) {
  demandInvocation("crypto");
  return new Uint8Array(wasi.getRandomBytes(length));
}

export function getRandomValues(array) {
  if (!INTEGERS.some((kind) => array instanceof kind)) {
    throw new DOMException("crypto.getRandomValues fills integer arrays only", "TypeMismatchError");
  }
  if (array.byteLength > QUOTA) {
    throw new DOMException(`crypto.getRandomValues gives at most ${QUOTA} bytes a call`, "QuotaExceededError");
  }
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength).set(randomBytes(array.byteLength));
  return array;
}

export function randomUUID() {
  const bytes = randomBytes(16);
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = bytes.toHex();
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}
