// The author's file, what it imports, and the SDK as one ES module with a source map inside.

import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { compact } from "./compact.mjs";
import { featuresOf } from "./features.mjs";
import { plugin as spiderMonkey } from "./spidermonkey.mjs";

const SDK = fileURLToPath(new URL("..", import.meta.url));
const COMMON = {
  bundle: true,
  write: false,
  format: "esm",
  target: "es2023",
  legalComments: "none",
  external: ["aerofn:function/*", "wasi:*"], // imports that the component itself has
  logLevel: "silent",
};

const sdks = new Map();

// The SDK with its packages, as one text without a path of this machine in it.
function sdkFor(esbuild, request, features) {
  const key = [request.toolchain, request.engine, ...features].join();
  if (!sdks.has(key)) sdks.set(key, bundleSdk(esbuild, request, features));
  return sdks.get(key);
}

async function bundleSdk(esbuild, { toolchain, engine }, features) {
  const imports = features.map((feature) => `import "./globals/${feature}.js";`);
  const result = await esbuild.build({
    absWorkingDir: SDK,
    stdin: { contents: [...imports, 'export * from "./main.js";'].join("\n"), resolveDir: SDK, sourcefile: "sdk.js" },
    nodePaths: [path.join(toolchain, "node_modules")],
    plugins: engine === "spidermonkey" ? [spiderMonkey] : [],
    platform: "neutral",
    mainFields: ["module", "main"],
    conditions: ["react-native"], // @exodus/bytes: takes no TextEncoder for granted
    minifySyntax: true,
    minifyWhitespace: true,
    ...COMMON,
  });
  return result.outputFiles[0].text;
}

// SpiderMonkey's glue wants a promise of `handle`; QuickJS' calls the `then` of what it is given.
const ENDS = {
  quickjs: "export { served as handle, turn };",
  spidermonkey: "export const handle = async (event) => served(event);",
};

const entryFor = ({ source, engine }) => `
import { serve, turn } from "aerofn:sdk";
import * as exported from ${JSON.stringify(`./${path.basename(source)}`)};
const served = serve(exported, () => AEROFN_SOURCE_MAP);
${ENDS[engine]}
`;

// Gives the entry its SDK; without one it stays an import, for a first look at the author's code.
function sdkAs(text) {
  return {
    name: "aerofn-sdk",
    setup(build) {
      build.onResolve({ filter: /^aerofn:sdk$/ }, ({ path }) =>
        text === undefined ? { path, external: true } : { path: "sdk", namespace: "aerofn" },
      );
      build.onLoad({ filter: /^sdk$/, namespace: "aerofn" }, () => ({ contents: text, loader: "js" }));
    },
  };
}

async function bundleAuthor(esbuild, { source, minify, engine }, sdk) {
  const folder = path.dirname(source);
  const result = await esbuild.build({
    absWorkingDir: folder,
    stdin: { contents: entryFor({ source, engine }), resolveDir: folder, sourcefile: "aerofn:entry" },
    plugins: [sdkAs(sdk)],
    outfile: path.join(folder, "bundle.js"), // never written; the map's sources are relative to it
    platform: "browser",
    conditions: ["worker"],
    define: { "process.env.NODE_ENV": '"production"', global: "globalThis" },
    sourcemap: "external",
    sourcesContent: false,
    minify,
    ...COMMON,
  });
  const text = (end) => result.outputFiles.find((file) => file.path.endsWith(end)).text;
  return { code: text("bundle.js"), map: JSON.parse(text(".map")), warnings: result.warnings };
}

// Gives { code, map, warnings }; throws esbuild's failure with its `errors`.
export async function bundle(esbuild, request) {
  const author = { ...request, source: fs.realpathSync(request.source) };
  const { code } = await bundleAuthor(esbuild, author);
  const features = request.engine === "spidermonkey" ? ["spidermonkey"] : featuresOf(code);
  const sdk = await sdkFor(esbuild, request, features);
  const whole = await bundleAuthor(esbuild, author, sdk);
  const map = compact(whole.map);
  return { ...whole, map, code: `${whole.code}\nvar AEROFN_SOURCE_MAP = ${JSON.stringify(map)};\n` };
}
