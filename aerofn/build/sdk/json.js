// JSON between JavaScript and PostgreSQL without losing a digit.
//
// In: a number literal whose digits a JavaScript number would change (beyond 2^53, or with more digits than a
// double has) arrives as a string of its digits; every other number as a number.
// Out: BigInt as its digits, bytes as PostgreSQL's hex text, the rest as JSON.stringify has it.

const LONG = 16; // fewer digits than this always fit

const POINT = 46;
const SLASH = 47;
const NINE = 57;

// Whether there is a digit or a point at `at`; what is no index has none.
function isDigit(text, at) {
  const code = text.charCodeAt(at);
  return code >= POINT && code <= NINE && code !== SLASH;
}

// Whether `text` has a run of LONG digits or points. Looking at every LONG-th character is enough, and of a run one
// half around that character must be there.
function mayLoseDigits(text) {
  const end = text.length;
  for (let at = LONG - 1; at < end; at += LONG) {
    const code = text.charCodeAt(at);
    if (code > NINE || code < POINT) continue; // nearly always: said here, for a call takes as long as the look
    if (code !== SLASH && (isDigit(text, at - LONG / 2) || isDigit(text, at + LONG / 2)) && isLong(text, at)) return true;
  }
  return false;
}

// Whether the run around `at` is that long.
function isLong(text, at) {
  let first = at;
  let last = at;
  while (isDigit(text, first - 1)) first--;
  while (isDigit(text, last + 1)) last++;
  return last - first + 1 >= LONG;
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

// An event as the host gives it. A space behind it says that the host has looked for long numbers and found none; it
// says so of small events, where looking takes longer than parsing does.
export const parseEvent = (text) => (text.endsWith(" ") ? JSON.parse(text) : parse(text));

function outgoing(_key, value) {
  if (typeof value === "bigint") return JSON.rawJSON(String(value));
  if (typeof value !== "object" || value === null || isCommon(value)) return value;
  if (value instanceof Uint8Array) return `\\x${value.toHex()}`;
  if (value instanceof ArrayBuffer) return `\\x${new Uint8Array(value).toHex()}`;
  return value;
}

// What most objects are; `instanceof` takes four times as long to say so.
function isCommon({ constructor }) {
  return constructor === Object || constructor === Array;
}

// As `outgoing`; and what JSON cannot say as a number goes as the text PostgreSQL knows it by.
function parameter(key, value) {
  return typeof value === "number" && !Number.isFinite(value) ? String(value) : outgoing(key, value);
}

const isPlain = (value) => value === null || typeof value === "string" || Number.isSafeInteger(value);

function areIntegers(list) {
  for (let at = 0; at < list.length; at++) if (!Number.isSafeInteger(list[at])) return false;
  return true;
}

export const stringify = (value) => JSON.stringify(value, outgoing) ?? "null";

export function stringifyParameters(list) {
  if (areIntegers(list)) return "[" + list.join() + "]"; // as most are: half of what JSON.stringify takes
  return list.every(isPlain) ? JSON.stringify(list) : JSON.stringify(list, parameter);
}
