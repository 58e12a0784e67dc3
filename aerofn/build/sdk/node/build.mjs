// Builds one component. Reads a request from standard input and answers on standard output, both JSON:
//
//     {"source", "output", "toolchain", "contract", "minify", "engine", "spidermonkey", "kept"}
//     → {"ok": {"warnings": [text, …]}}  or  {"error": {"message", "detail"}}

import crypto from "node:crypto";
import fs from "node:fs";
import { createRequire } from "node:module";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { locate } from "../sourcemap.js";
import { bundle } from "./bundle.mjs";
import { componentizeForSpiderMonkey } from "./spidermonkey.mjs";

const WORLD = fileURLToPath(new URL("../wit", import.meta.url));
const FRAME = /\((?:[^()\s]*:)(\d+):(\d+)\)|(?:at |@)(?:[^()\s]*:)(\d+):(\d+)/;

class BuildError extends Error {
  constructor(message, detail) {
    super(message);
    this.detail = detail;
  }
}

// esbuild's message as compilers print it: file:line:column: text, the line, a caret.
function diagnostic({ text, location, notes = [] }) {
  const extra = notes.map((note) => note.text);
  if (!location) return [text, ...extra].join("\n");
  const { file, line, column, lineText } = location;
  const caret = `${" ".repeat(column)}^`;
  return [`${file}:${line}:${column + 1}: ${text}`, `    ${lineText}`, `    ${caret}`, ...extra].join("\n");
}

async function bundled(esbuild, request) {
  try {
    return await bundle(esbuild, request);
  } catch (failure) {
    if (!failure.errors?.length) throw failure;
    const [first, ...rest] = failure.errors.map(diagnostic);
    throw new BuildError(first.split("\n")[0], [first, ...rest].join("\n\n"));
  }
}

// What the top level of the author's file threw, pointing at the author's line.
function evaluationError(failure, map) {
  const [head, ...stack] = String(failure.message).split("\n");
  const frames = stack.flatMap((line) => {
    const [, l1, c1, l2, c2] = FRAME.exec(line) ?? [];
    const place = (l1 ?? l2) && locate(map, Number(l1 ?? l2), Number(c1 ?? c2));
    return place ? [`${place.source}:${place.line}:${place.column}`] : [];
  });
  const [, thrown] = /^source\.js:\d+:\d+ (.*)$/m.exec(failure.message) ?? []; // as SpiderMonkey tells it
  const message = (thrown ?? head.replace(/^.*JavaScript module[^:]*: /, "")).replace(/^Error: /, "");
  return new BuildError(frames.length > 0 ? `${frames[0]}: ${message}` : message, frames.map((at) => `at ${at}`).join("\n"));
}

// The WIT package of the build: the world, its dependencies and the contract.
async function withWorld(contract, use) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "aerofn-wit-"));
  try {
    fs.cpSync(WORLD, folder, { recursive: true });
    fs.copyFileSync(contract, path.join(folder, "deps", "aerofn.wit"));
    return await use(folder);
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

async function componentizeForQuickJs({ toolchain, contract }, code) {
  const { componentize } = createRequire(path.join(toolchain, "package.json"))("componentize-qjs");
  const build = (witPath) =>
    componentize({ witPath, world: "javascript", jsSource: code, runtime: path.join(toolchain, "runtime.wasm") });
  const { component } = await withWorld(contract, build);
  return component;
}

async function componentized(request, { code, map }) {
  const componentize = request.engine === "spidermonkey" ? componentizeForSpiderMonkey : componentizeForQuickJs;
  try {
    return await componentize(request, code);
  } catch (failure) {
    throw evaluationError(failure, map);
  }
}

function writeWhole(output, bytes) {
  const partial = `${output}.${process.pid}.partial`;
  fs.writeFileSync(partial, bytes);
  fs.renameSync(partial, output);
}

// What a component is made of: tools, worlds, code. SpiderMonkey seeds itself, so that no two snapshots are the same.
function keyOf({ spidermonkey, contract }, { code }) {
  const files = [contract, fileURLToPath(new URL("spidermonkey.mjs", import.meta.url))].map((file) => fs.readFileSync(file));
  const hash = crypto.createHash("sha256");
  for (const part of [path.basename(spidermonkey), ...files, code]) hash.update(crypto.createHash("sha256").update(part).digest());
  return hash.digest("hex");
}

// The component, taken from the folder `kept` where one of the same is kept.
async function keptOrComponentized(request, result) {
  if (request.kept === null) return componentized(request, result);
  const file = path.join(request.kept, `${keyOf(request, result)}.wasm`);
  try {
    fs.utimesSync(file, new Date(), new Date());
    return fs.readFileSync(file);
  } catch (failure) {
    if (failure.code !== "ENOENT") throw failure;
  }
  const component = await componentized(request, result);
  writeWhole(file, component);
  return component;
}

async function build(request) {
  const require = createRequire(path.join(request.toolchain, "package.json"));
  const result = await bundled(require("esbuild"), request);
  writeWhole(request.output, await keptOrComponentized(request, result));
  return { warnings: result.warnings.map(diagnostic) };
}

function reply(answer) {
  fs.writeSync(1, JSON.stringify(answer));
}

try {
  reply({ ok: await build(JSON.parse(fs.readFileSync(0, "utf8"))) });
} catch (failure) {
  if (!(failure instanceof BuildError)) throw failure;
  reply({ error: { message: failure.message, detail: failure.detail } });
}
