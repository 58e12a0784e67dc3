// The two lives of a function's code: its top level runs once, while the component is built, and is
// frozen into a snapshot; every invocation then starts from that snapshot.

let running = false;

export const isRunning = () => running;

export function begin() {
  running = true;
}

// Throws where something of an invocation is asked for while there is none.
export function demandInvocation(what) {
  if (running) return;
  throw new Error(
    `${what} cannot be used at the top level of the file, which runs only once, when the function is built: ` +
      "move it into the handler",
  );
}
