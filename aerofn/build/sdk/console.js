// `console`: every call is one line of the invocation's log. At the top level of the file, which runs
// while the function is built, there is no log to write to and the lines are dropped.

import host from "aerofn:function/host@1.0.0";
import { format, inspect } from "./inspect.js";
import { frames } from "./errors.js";
import { isRunning } from "./lifetime.js";

const counts = new Map();
const timings = new Map();
let indent = "";

function write(level, text) {
  const indented = indent ? indent + text.replaceAll("\n", `\n${indent}`) : text;
  if (isRunning()) host.log(level, indented.toWellFormed());
}

const at = (level) => (...args) => write(level, format(args));
const sinceStart = (label) => `${label}: ${(performance.now() - timings.get(label)).toFixed(3)}ms`;

function group(...args) {
  if (args.length > 0) write("info", format(args));
  indent += "  ";
}

export const console = {
  debug: at("debug"),
  log: at("info"),
  info: at("info"),
  warn: at("warn"),
  error: at("error"),
  clear: () => undefined, // a log has no screen
  dir: (value) => write("info", inspect(value, 1)),
  dirxml: at("info"),
  table: (rows) => write("info", inspect(rows, 1)),
  trace: (...args) => write("debug", [`Trace: ${format(args)}`, ...frames(new Error().stack)].join("\n")),
  assert(condition, ...args) {
    if (!condition) write("error", args.length > 0 ? `Assertion failed: ${format(args)}` : "Assertion failed");
  },
  count(label = "default") {
    counts.set(label, (counts.get(label) ?? 0) + 1);
    write("info", `${label}: ${counts.get(label)}`);
  },
  countReset: (label = "default") => void counts.delete(label),
  group,
  groupCollapsed: group,
  groupEnd() {
    indent = indent.slice(2);
  },
  time: (label = "default") => void timings.set(label, performance.now()),
  timeLog(label = "default", ...args) {
    if (timings.has(label)) write("info", [sinceStart(label), ...args.map((value) => inspect(value))].join(" "));
  },
  timeEnd(label = "default") {
    console.timeLog(label);
    timings.delete(label);
  },
};
