// From esbuild's source map to the one that travels in the component, see ../sourcemap.js.

import { decodeNumbers, encodeLine } from "../sourcemap.js";

const isAuthors = (source) => !/^(?:\.\/)?aerofn:/.test(source);

// In packages the line is enough.
function thinned(segments, sources) {
  return segments.filter((segment, i) => {
    const before = segments[i - 1];
    if (before === undefined || !sources[segment[1]].includes("node_modules/")) return true;
    return before[1] !== segment[1] || before[2] !== segment[2];
  });
}

function decodeLines(mappings) {
  let [source, line, column] = [0, 0, 0];
  return mappings.split(";").map((text) => {
    let generated = 0;
    return (text === "" ? [] : text.split(",")).map((segment) => {
      const step = decodeNumbers(segment);
      generated += step[0];
      [source, line, column] = [source + (step[1] ?? 0), line + (step[2] ?? 0), column + (step[3] ?? 0)];
      return [generated, source, line, column];
    });
  });
}

export function compact({ mappings, sources }) {
  const lines = decodeLines(mappings).map((segments) => {
    const own = segments.filter((segment) => isAuthors(sources[segment[1]]));
    return encodeLine(thinned(own, sources));
  });
  return { sources: sources.map((source) => (isAuthors(source) ? source : "")), lines: lines.join(";") };
}
