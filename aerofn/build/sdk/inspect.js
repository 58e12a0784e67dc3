// Values as text for the log, the way Node shows them.

import { stackOf } from "./errors.js";
import { inPlaceOf } from "./later.js";

const DEPTH = 2;
const ITEMS = 100;
const WIDTH = 72;

export function inspect(value, depth = 0, seen = []) {
  if (typeof value === "string") return depth === 0 ? value : quoted(value);
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "function") return functionName(value);
  if (typeof value !== "object" || value === null) return Object.is(value, -0) ? "-0" : String(value);
  if (seen.includes(value)) return "[Circular]";
  return known(value, depth) ?? structure(value, depth, [...seen, value]);
}

function quoted(text) {
  if (!text.includes("'")) return `'${escaped(text)}'`;
  return text.includes('"') ? JSON.stringify(text) : `"${escaped(text)}"`;
}

const escaped = (text) => JSON.stringify(text).slice(1, -1).replaceAll('\\"', '"');

const functionName = (value) =>
  `[${/^class\b/.test(Function.prototype.toString.call(value)) ? "class" : "Function"}: ${value.name || "(anonymous)"}]`;

// Objects that have a text of their own.
function known(value, depth) {
  if (value instanceof Error) return depth === 0 ? stackOf(value) + ownFields(value) : `[${stackOf(value)}]`;
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? "Invalid Date" : value.toISOString();
  if (value instanceof RegExp) return String(value);
  if (value instanceof Promise) return "Promise {}";
  if (value instanceof Number || value instanceof String || value instanceof Boolean) {
    return `[${value.constructor.name}: ${inspect(value.valueOf(), 1)}]`;
  }
  return undefined;
}

function ownFields(error) {
  const fields = Object.entries(error).filter(([key]) => key !== "name" && key !== "message" && key !== "stack");
  return fields.length === 0 ? "" : ` ${inspect(Object.fromEntries(fields), 1)}`;
}

function structure(given, depth, seen) {
  const value = inPlaceOf(given);
  const label = className(value);
  const isList = Array.isArray(value) || (ArrayBuffer.isView(value) && !(value instanceof DataView));
  if (depth > DEPTH) return `[${isList ? "Array" : label || "Object"}]`;
  const show = (inner) => inspect(inner, depth + 1, seen);
  const parts = isList ? items(value, show) : [...entries(value, show), ...fields(value, show)];
  const size = value instanceof Map || value instanceof Set ? `(${value.size})` : ArrayBuffer.isView(value) ? `(${value.length})` : "";
  return wrapped(label && label + size, parts, isList ? "[]" : "{}", depth);
}

function className(value) {
  const prototype = Object.getPrototypeOf(value);
  if (prototype === null) return "[Object: null prototype]";
  const name = prototype.constructor?.name ?? "";
  return name === "Object" || name === "Array" ? "" : name;
}

function items(list, show) {
  const parts = Array.from(list.slice(0, ITEMS), show);
  if (list.length > ITEMS) parts.push(`... ${list.length - ITEMS} more items`);
  return parts;
}

function entries(value, show) {
  if (value instanceof Map) return [...value].map(([key, inner]) => `${show(key)} => ${show(inner)}`);
  if (value instanceof Set) return [...value].map(show);
  if (value instanceof ArrayBuffer) return [`byteLength: ${value.byteLength}`];
  return [];
}

const fields = (value, show) =>
  Reflect.ownKeys(value)
    .filter((key) => Object.prototype.propertyIsEnumerable.call(value, key))
    .map((key) => `${fieldName(key)}: ${fieldValue(value, key, show)}`);

const fieldName = (key) =>
  typeof key === "symbol" ? `[${String(key)}]` : /^[A-Za-z_$][\w$]*$/.test(key) ? key : quoted(key);

function fieldValue(value, key, show) {
  const { get, set } = Object.getOwnPropertyDescriptor(value, key);
  if (get) return set ? "[Getter/Setter]" : "[Getter]";
  return set ? "[Setter]" : show(value[key]);
}

function wrapped(label, parts, [open, close], depth) {
  const prefix = label ? `${label} ` : "";
  if (parts.length === 0) return `${prefix}${open}${close}`;
  const line = parts.join(", ");
  if (line.length + prefix.length <= WIDTH && !line.includes("\n")) return `${prefix}${open} ${line} ${close}`;
  const indent = "  ".repeat(depth);
  return `${prefix}${open}\n${parts.map((part) => `${indent}  ${part}`).join(",\n")}\n${indent}${close}`;
}

const DIRECTIVE = /%([sdifjoOc%])/g;

// console's arguments as one line; understands %s %d %i %f %j %o %O %c %%.
export function format(args) {
  let used = 0;
  let text = "";
  if (typeof args[0] === "string" && args.length > 1) {
    used = 1;
    text = args[0].replace(DIRECTIVE, (all, kind) => {
      if (kind === "%") return "%";
      return used < args.length ? directive(kind, args[used++]) : all;
    });
  }
  const rest = args.slice(used).map((value) => inspect(value));
  return [...(used > 0 ? [text] : []), ...rest].join(" ");
}

function directive(kind, value) {
  if (kind === "c") return "";
  if (kind === "s") return typeof value === "object" && value !== null ? inspect(value, 1) : String(value);
  if (kind === "j") return JSON.stringify(value);
  if (kind === "d") return typeof value === "bigint" ? `${value}n` : String(Number(value));
  if (kind === "i") return String(Number.parseInt(value, 10));
  if (kind === "f") return String(Number.parseFloat(value));
  return inspect(value, 1);
}
