// WHATWG Headers: names without case, values joined by commas, but for set-cookie, whose values stay apart.

const NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const COOKIE = "set-cookie";

function checked(name, value) {
  if (!NAME.test(name)) throw new TypeError(`Headers: ${JSON.stringify(name)} is not a header name`);
  const text = String(value).trim();
  if (/[\r\n\0]/.test(text)) throw new TypeError(`Headers: the value of ${name} has a line break`);
  return text;
}

export class Headers {
  #values = new Map(); // each name's values

  constructor(init = {}) {
    const pairs = typeof init?.[Symbol.iterator] === "function" ? init : Object.entries(init ?? {});
    for (const [name, value] of pairs) for (const one of Array.isArray(value) ? value : [value]) this.append(name, one);
  }

  append(name, value) {
    const text = checked(name, value);
    const key = String(name).toLowerCase();
    this.#values.set(key, [...(this.#values.get(key) ?? []), text]);
  }

  set(name, value) {
    this.#values.set(String(name).toLowerCase(), [checked(name, value)]);
  }

  get(name) {
    return this.#values.get(String(name).toLowerCase())?.join(", ") ?? null;
  }

  has(name) {
    return this.#values.has(String(name).toLowerCase());
  }

  delete(name) {
    this.#values.delete(String(name).toLowerCase());
  }

  getSetCookie() {
    return [...(this.#values.get(COOKIE) ?? [])];
  }

  // As the host takes and gives them.
  plain() {
    return Object.fromEntries([...this.#values].map(([name, all]) => [name, name === COOKIE ? all : all.join(", ")]));
  }

  forEach(callback, self) {
    for (const [name, value] of this) callback.call(self, value, name, this);
  }

  *entries() {
    for (const [name, all] of [...this.#values].sort(([a], [b]) => (a < b ? -1 : 1))) {
      if (name === COOKIE) for (const value of all) yield [name, value];
      else yield [name, all.join(", ")];
    }
  }

  *keys() {
    for (const [name] of this.entries()) yield name;
  }

  *values() {
    for (const [, value] of this.entries()) yield value;
  }

  [Symbol.iterator]() {
    return this.entries();
  }
}
