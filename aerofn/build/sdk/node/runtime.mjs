// Takes the QuickJS runtime out of componentize-qjs and makes its start reproducible.
//
//     node runtime.mjs TOOLCHAIN      writes TOOLCHAIN/runtime.wasm
//
// When the runtime starts, at build time, it reads a hash seed and two clocks into the memory that the
// component is a snapshot of: two builds of one source would differ. The three calls are replaced by
// instructions of the same length. Nothing of an invocation depends on them: Math.random and performance
// are the SDK's own (../random.js, ../clock.js), and the hash tables are keyed by the engine's type ids.

import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

const MODULE = Buffer.from([0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00]);
const CALL = 0x10;
const DROP = 0x1a;
const NOP = 0x01;
const I32_CONST_0 = [0x41, 0x00];

// Where the calls are, by the instructions around them (`call f` is 10 and one or two bytes).
const READS = [
  { what: "hash seed", pattern: /\x20\x00\x10[\s\S]\x20\x00\x29\x03\x00/g, call: 2, by: [DROP, NOP] },
  {
    what: "time of day, the seed of Math.random",
    pattern: /\x20\x07\x10[\s\S]{2}\x20\x04\x42\x01\x20\x07\x29\x03\x08/g,
    call: 2,
    by: [DROP, NOP, NOP],
  },
  {
    what: "monotonic clock, the origin of performance",
    pattern: /\x20\x01\x10[\s\S]{2}\x45\x04\x40\x20\x00\x20\x01\x34\x02\x08/g,
    call: 2,
    by: [DROP, ...I32_CONST_0],
  },
];

function leb128(bytes, at) {
  let [value, scale] = [0, 1];
  for (;;) {
    const byte = bytes[at++];
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) return [value, at];
    scale *= 128;
  }
}

// The core module that starts at `start`: as far as its sections reach.
function moduleAt(bytes, start) {
  let at = start + MODULE.length;
  while (at < bytes.length && bytes[at] <= 13 && !bytes.subarray(at, at + 8).equals(MODULE)) {
    const [size, body] = leb128(bytes, at + 1);
    if (size === 0 || body + size > bytes.length) break;
    at = body + size;
  }
  return bytes.subarray(start, at);
}

function* modulesIn(bytes) {
  for (let at = bytes.indexOf(MODULE); at >= 0; at = bytes.indexOf(MODULE, at + MODULE.length)) {
    yield moduleAt(bytes, at);
  }
}

// The first module in which every pattern fits exactly once is the default runtime.
function withoutReads(module) {
  const text = module.toString("latin1");
  const patched = Buffer.from(module);
  for (const { pattern, call, by } of READS) {
    const matches = [...text.matchAll(pattern)];
    if (matches.length !== 1) return undefined;
    const at = matches[0].index + call;
    if (patched[at] !== CALL) return undefined;
    patched.set(by, at);
  }
  return patched;
}

function bindingOf(toolchain) {
  const scope = path.join(toolchain, "node_modules", "@andreiltd");
  for (const name of fs.readdirSync(scope)) {
    const folder = path.join(scope, name);
    const file = fs.readdirSync(folder).find((entry) => entry.endsWith(".node"));
    if (file) return path.join(folder, file);
  }
  throw new Error("componentize-qjs has no binding for this platform");
}

export function writeRuntime(toolchain) {
  const require = createRequire(path.join(toolchain, "package.json"));
  const { version } = require("componentize-qjs/package.json");
  for (const module of modulesIn(fs.readFileSync(bindingOf(toolchain)))) {
    const runtime = module.length > 1e6 ? withoutReads(module) : undefined;
    if (!runtime) continue;
    fs.writeFileSync(path.join(toolchain, "runtime.wasm"), runtime);
    return;
  }
  throw new Error(`no runtime that can be made reproducible was found in componentize-qjs ${version}`);
}

writeRuntime(process.argv[2]);
