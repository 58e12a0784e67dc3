// A source map small enough to travel in the component: for every line of the bundle its segments
// [column, source, line, column], each a difference to the one before, in base64 VLQ. Unlike the usual
// format every line starts from zero, so that one line can be read without the ones before it.

const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

export function encodeNumber(number) {
  let rest = number < 0 ? (-number << 1) | 1 : number << 1;
  let text = "";
  do {
    text += DIGITS[(rest & 31) | (rest > 31 ? 32 : 0)];
    rest >>>= 5;
  } while (rest > 0);
  return text;
}

export function decodeNumbers(text) {
  const numbers = [];
  let value = 0;
  let shift = 0;
  for (const character of text) {
    const digit = DIGITS.indexOf(character);
    value |= (digit & 31) << shift;
    shift += 5;
    if (digit & 32) continue;
    numbers.push(value & 1 ? -(value >>> 1) : value >>> 1);
    value = shift = 0;
  }
  return numbers;
}

export function encodeLine(segments) {
  let last = [0, 0, 0, 0];
  return segments
    .map((segment) => {
      const text = segment.map((number, i) => encodeNumber(number - last[i])).join("");
      last = segment;
      return text;
    })
    .join(",");
}

// Where `line:column` (both from 1) of the bundle comes from; undefined where no author's code is.
export function locate({ sources, lines }, line, column) {
  let found;
  let last = [0, 0, 0, 0];
  for (const text of (lines.split(";")[line - 1] || "").split(",")) {
    if (text === "") break;
    const step = decodeNumbers(text);
    last = last.map((number, i) => number + step[i]);
    if (found && last[0] > column - 1) break;
    found = last;
  }
  return found && { source: sources[found[1]], line: found[2] + 1, column: found[3] + 1 };
}
