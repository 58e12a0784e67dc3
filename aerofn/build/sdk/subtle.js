// `crypto.subtle`: SHA digests and HMAC, with the names and promises of the Web Crypto API.

import { hmac } from "@noble/hashes/hmac.js";
import { sha1 } from "@noble/hashes/legacy.js";
import { sha256, sha384, sha512 } from "@noble/hashes/sha2.js";
import { getRandomValues } from "./random.js";

const HASHES = { "SHA-1": sha1, "SHA-256": sha256, "SHA-384": sha384, "SHA-512": sha512 };
const BLOCK_BITS = { "SHA-1": 512, "SHA-256": 512, "SHA-384": 1024, "SHA-512": 1024 };

const asBytes = (data) =>
  ArrayBuffer.isView(data) ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength) : new Uint8Array(data);

const nameOf = (algorithm) => String(algorithm?.name ?? algorithm).toUpperCase();

const unsupported = (what) =>
  new DOMException(`${what} is not supported: crypto.subtle has SHA digests and HMAC`, "NotSupportedError");

function hashNamed(algorithm) {
  const name = nameOf(algorithm);
  if (!(name in HASHES)) throw unsupported(name);
  return name;
}

export class CryptoKey {
  #secret;

  constructor(secret, hash, extractable, usages) {
    this.#secret = secret;
    this.type = "secret";
    this.extractable = extractable;
    this.usages = usages;
    this.algorithm = { name: "HMAC", hash: { name: hash }, length: secret.length * 8 };
  }

  static secretOf(key, usage) {
    if (!(key instanceof CryptoKey)) throw new TypeError("crypto.subtle needs a CryptoKey");
    if (!key.usages.includes(usage)) throw new DOMException(`the key is not for "${usage}"`, "InvalidAccessError");
    return key.#secret;
  }

  static exported(key) {
    if (!key.extractable) throw new DOMException("the key is not extractable", "InvalidAccessError");
    return key.#secret.slice();
  }
}

function checkUsages(usages) {
  if (usages.some((usage) => usage !== "sign" && usage !== "verify")) {
    throw new SyntaxError('an HMAC key is for "sign" and "verify"');
  }
}

const mac = (key, usage, data) => hmac(HASHES[key.algorithm.hash.name], CryptoKey.secretOf(key, usage), asBytes(data));

export const subtle = {
  async digest(algorithm, data) {
    return HASHES[hashNamed(algorithm)](asBytes(data)).buffer;
  },

  async importKey(format, data, algorithm, extractable, usages) {
    if (nameOf(algorithm) !== "HMAC") throw unsupported(nameOf(algorithm));
    checkUsages(usages);
    const secret = format === "jwk" ? Uint8Array.fromBase64(data.k, { alphabet: "base64url" }) : asBytes(data).slice();
    if (format !== "raw" && format !== "jwk") throw unsupported(`the key format ${format}`);
    return new CryptoKey(secret, hashNamed(algorithm.hash), extractable, [...usages]);
  },

  async generateKey(algorithm, extractable, usages) {
    if (nameOf(algorithm) !== "HMAC") throw unsupported(nameOf(algorithm));
    checkUsages(usages);
    const hash = hashNamed(algorithm.hash);
    const secret = getRandomValues(new Uint8Array((algorithm.length ?? BLOCK_BITS[hash]) / 8));
    return new CryptoKey(secret, hash, extractable, [...usages]);
  },

  async exportKey(format, key) {
    const secret = CryptoKey.exported(key);
    if (format === "raw") return secret.buffer;
    if (format !== "jwk") throw unsupported(`the key format ${format}`);
    const k = secret.toBase64({ alphabet: "base64url", omitPadding: true });
    return { kty: "oct", k, alg: `HS${key.algorithm.hash.name.slice(4)}`, ext: true, key_ops: key.usages };
  },

  async sign(_algorithm, key, data) {
    return mac(key, "sign", data).buffer;
  },

  async verify(_algorithm, key, signature, data) {
    const expected = mac(key, "verify", data);
    const given = asBytes(signature);
    let difference = expected.length ^ given.length;
    for (let i = 0; i < expected.length; i++) difference |= expected[i] ^ given[i];
    return difference === 0;
  },
};
