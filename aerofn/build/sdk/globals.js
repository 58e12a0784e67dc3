// Lays names out as globals, where the author's code and npm packages expect them. The modules in
// globals/ do it for one subject each; node/features.mjs chooses those that the code mentions.

export function provide(names) {
  for (const [name, value] of Object.entries(names)) {
    Object.defineProperty(globalThis, name, { value, writable: true, configurable: true, enumerable: false });
  }
}
