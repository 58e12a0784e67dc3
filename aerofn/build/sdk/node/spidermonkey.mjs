// What building for SpiderMonkey does differently: componentize-js, which takes the WIT as text, and finds its own
// way to await.

import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

const WORLD = `package aerofn:javascript@1.0.0;

world spidermonkey {
  import aerofn:function/host@1.0.0;
  import aerofn:function/clock@1.0.0;
  import wasi:random/random@0.2.12;
  export handle: func(event: string) -> result<string, string>;
}
`;

// A WIT file as a package within another file.
const nested = (file) => `${fs.readFileSync(file, "utf8").replace(/^(package [^;]+);/m, "$1 {")}\n}\n`;

// The component's imports as SpiderMonkey has them: an interface has no default export.
export const plugin = {
  name: "aerofn-spidermonkey",
  setup(build) {
    build.onResolve({ filter: /^(?:aerofn:function|wasi:)/ }, ({ path, namespace }) =>
      namespace === "interface" ? { path, external: true } : { path, namespace: "interface" },
    );
    build.onLoad({ filter: /.*/, namespace: "interface" }, ({ path }) => ({
      contents: `import * as all from ${JSON.stringify(path)}; export default all;`,
      loader: "js",
    }));
  },
};

export async function componentizeForSpiderMonkey({ spidermonkey, contract, code }) {
  const entry = path.join(spidermonkey, "node_modules/@bytecodealliance/componentize-js/src/componentize.js");
  const { componentize } = await import(pathToFileURL(entry));
  const random = new URL("../wit/deps/random.wit", import.meta.url);
  const { component } = await componentize(code, {
    witWorld: WORLD + nested(contract) + nested(random),
    worldName: "spidermonkey",
    disableFeatures: ["http", "fetch-event"], // fetch is the SDK's: there is no wasi:http in the sandbox
  });
  return component;
}
