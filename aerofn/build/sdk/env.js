// `env.KEY` and `env.get("KEY")`: the keys and secrets this function was granted; undefined otherwise.

import host from "aerofn:function/host@1.0.0";
import { demandInvocation } from "./lifetime.js";

function read(key) {
  demandInvocation("env");
  return host.env(String(key).toWellFormed()) ?? undefined;
}

const methods = { get: read, has: (key) => read(key) !== undefined };

export const env = new Proxy(Object.freeze({}), {
  get: (_target, key) => (typeof key === "string" ? (methods[key] ?? read(key)) : undefined),
  has: (_target, key) => typeof key === "string" && methods.has(key),
});
