// What a function may do to its node; `deed` chooses.
const deeds = {
  warm() {},
  loop() {
    for (;;);
  },
  bomb() {
    const kept = [];
    for (;;) kept.push(new Uint8Array(1 << 20).fill(1));
  },
  flood() {
    for (let line = 0; line < 20000; line++) console.log("x".repeat(200));
  },
  trap() {
    const down = (n) => 1 + down(n + 1);
    return down(0);
  },
  never() {
    return new Promise(() => {});
  },
  throw() {
    throw new Error("x".repeat(100000));
  },
};

export async function handler(input) {
  return deeds[input.deed]();
}
