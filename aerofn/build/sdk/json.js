// JSON between JavaScript and PostgreSQL without losing a digit.
//
// In: a number literal whose digits a JavaScript number would change (beyond 2^53, or with more digits than a
// double has) arrives as a string of its digits; every other number as a number.
// Out: BigInt as its digits, bytes as PostgreSQL's hex text, the rest as JSON.stringify has it.

const LONG = 16; // fewer digits than this always fit

const isDigit = (code) => (code >= 48 && code <= 57) || code === 46;

// Whether `text` has a run of LONG digits or points. Looking at every LONG-th character is enough.
function mayLoseDigits(text) {
  for (let at = LONG - 1; at < text.length; at += LONG) {
    if (!isDigit(text.charCodeAt(at))) continue;
    let first = at;
    let last = at;
    while (isDigit(text.charCodeAt(first - 1))) first--;
    while (isDigit(text.charCodeAt(last + 1))) last++;
    if (last - first + 1 >= LONG) return true;
  }
  return false;
}

// One spelling for equal decimals: "1.50", "15e-1" and "1.5" all become "15e-1".
function normal(literal) {
  const [, whole, fraction = "", exponent = "0"] = /^-?(\d+)(?:\.(\d+))?(?:e([+-]?\d+))?$/i.exec(literal) ?? [];
  if (whole === undefined) return literal;
  const digits = (whole + fraction).replace(/^0+/, "");
  const significant = digits.replace(/0+$/, "");
  if (significant === "") return "0";
  return `${significant}e${Number(exponent) - fraction.length + digits.length - significant.length}`;
}

function keepDigits(_key, value, { source }) {
  if (typeof value !== "number" || normal(source) === normal(String(value))) return value;
  return source;
}

export function parse(text) {
  return mayLoseDigits(text) ? JSON.parse(text, keepDigits) : JSON.parse(text);
}

function outgoing(_key, value) {
  if (typeof value === "bigint") return JSON.rawJSON(String(value));
  if (value instanceof Uint8Array) return `\\x${value.toHex()}`;
  if (value instanceof ArrayBuffer) return `\\x${new Uint8Array(value).toHex()}`;
  return value;
}

// As `outgoing`; and what JSON cannot say as a number goes as the text PostgreSQL knows it by.
function parameter(key, value) {
  return typeof value === "number" && !Number.isFinite(value) ? String(value) : outgoing(key, value);
}

const isPlain = (value) => value === null || typeof value === "string" || Number.isSafeInteger(value);

export const stringify = (value) => JSON.stringify(value, outgoing) ?? "null";

export const stringifyParameters = (list) =>
  list.every(isPlain) ? JSON.stringify(list) : JSON.stringify(list, parameter);
