// `env.KEY` and `env.get("KEY")`: the keys and secrets this function was granted; undefined otherwise,
// also for names that every other object has (`env.constructor`).

import host from "aerofn:function/host@1.0.0";
import { demandInvocation } from "./lifetime.js";

function read(key) {
  demandInvocation("env");
  return host.env(String(key).toWellFormed()) ?? undefined;
}

const methods = { __proto__: null, get: read, has: (key) => read(key) !== undefined };

export const env = new Proxy(Object.freeze(Object.create(null)), {
  get: (_target, key) => (typeof key === "string" ? (methods[key] ?? read(key)) : undefined),
  has: (_target, key) => typeof key === "string" && methods.has(key),
});
