// Makes a component of a JavaScript module with componentize-qjs:
//
//     node componentize.mjs TOOLCHAIN CONTRACT RUNTIME OUTPUT  < code

import fs from "node:fs";
import { createRequire } from "node:module";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

const WORLD = fileURLToPath(new URL("../wit", import.meta.url));

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

const [toolchain, contract, runtime, output] = process.argv.slice(2);
const { componentize } = createRequire(path.join(toolchain, "package.json"))("componentize-qjs");
const jsSource = fs.readFileSync(0, "utf8");
const made = await withWorld(contract, (witPath) => componentize({ witPath, world: "javascript", jsSource, runtime }));
fs.writeFileSync(output, made.component);
