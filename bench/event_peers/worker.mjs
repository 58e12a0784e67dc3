// What the workers in JavaScript share: counting, and telling bench/events.py. Clocks: CLOCK_MONOTONIC.
const { EVENTS, WARM, TIMES } = process.env;
export const SQL = "UPDATE products SET stock = stock - $1 WHERE id = $2";
const now = () => Number(process.hrtime.bigint()) / 1e9;
let warming = +WARM > 0;
let done = 0;
let starts = [];

export function started(id) {
  if (TIMES) starts.push([id, now()]);
}

export function ended() {
  done += 1;
  if (warming && done === +WARM) {
    [warming, done, starts] = [false, 0, []];
    console.log("WARMED");
  } else if (!warming && done === +EVENTS) {
    console.log("RESULT " + JSON.stringify({ last: now(), starts }));
  }
}

export function ready(stop) {
  setTimeout(() => console.log("READY"), 1500);
  process.on("SIGTERM", async () => {
    await stop().catch(() => {});
    process.exit(0);
  });
}
