// What is told about an error: name, message, and a stack that points into the author's files.

import { locate } from "./sourcemap.js";

// QuickJS writes "at name (file:line:column)", SpiderMonkey "async*name@source.js:line:column".
const FRAMES = [/^\s*at (?:(.*?) \()?(?:[^()\s]*:)(\d+):(\d+)\)?$/, /^(?:async\*)?(.*?)[/<]*@source\.js:(\d+):(\d+)$/];

let sourceMap = () => undefined;

// `read` gives the map that the build lays beside the bundle, see node/bundle.mjs.
export function useSourceMap(read) {
  sourceMap = read;
}

// The engine's frames, each where the author wrote it; frames of the SDK and the engine are left out.
export function frames(stack) {
  const lines = [];
  const map = sourceMap();
  for (const text of String(stack ?? "").split("\n")) {
    const frame = FRAMES[0].exec(text) ?? FRAMES[1].exec(text);
    const place = frame && map && locate(map, Number(frame[2]), Number(frame[3]));
    if (!place) continue;
    const where = `${place.source}:${place.line}:${place.column}`;
    lines.push(frame[1] && frame[1] !== "<anonymous>" ? `    at ${frame[1]} (${where})` : `    at ${where}`);
  }
  return lines;
}

const CAUSES = 16; // that are told: they may go round in a ring

export function stackOf(error, left = CAUSES) {
  const own = [headline(error), ...frames(error.stack)].join("\n");
  return left && error.cause instanceof Error ? `${own}\nCaused by: ${stackOf(error.cause, left - 1)}` : own;
}

const headline = ({ name, message }) => (message ? `${name}: ${message}` : String(name));

// The error as the host takes it, whatever looking at it throws.
export function describe(thrown) {
  try {
    return described(thrown);
  } catch {
    return { name: "Error", message: "what the function threw cannot be read", stack: null, retry: true };
  }
}

function described(thrown) {
  if (thrown instanceof Error) {
    return {
      name: String(thrown.name),
      message: String(thrown.message),
      stack: stackOf(thrown),
      retry: thrown.retry !== false,
    };
  }
  const message = typeof thrown?.message === "string" ? thrown.message : textOf(thrown);
  return {
    name: typeof thrown?.name === "string" ? thrown.name : "Error",
    message,
    stack: null,
    retry: thrown?.retry !== false,
  };
}

function textOf(thrown) {
  if (typeof thrown === "string") return thrown;
  try {
    return JSON.stringify(thrown) ?? String(thrown);
  } catch {
    return String(thrown); // no JSON: a ring, a BigInt
  }
}
