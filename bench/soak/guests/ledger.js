// One row for each effect: whoever starts it, it writes what it was started for and when.
function told(input, event) {
  if (event.trigger === "row") return [event.table, event.table === "accounts" ? `${input.id}:${input.n}` : String(input.id)];
  if (event.trigger === "schedule") return [event.name, event.scheduled_at];
  if (event.trigger === "webhook") return ["webhook", input.id];
  return [input.kind, input.key];
}

export async function handler(input, event) {
  const started = Date.now();
  if (input.warm) return {};
  const [kind, key] = told(input, event);
  if (input.fetch) await (await fetch(input.fetch)).text();
  await db.query("INSERT INTO effects (kind, key, started) VALUES ($1, $2, $3)", [kind, key, started]);
  if (input.after) await http.fetchAfterCommit(input.after, { method: "POST", headers: { "idempotency-key": key } });
  if (input.wait) await new Promise((resolve) => setTimeout(resolve, input.wait));
  // After its effect, so that there is something to undo.
  if (input.fail || (event.trigger === "row" && input.id % 11 === 0 && event.attempt === 1)) throw new Error("on purpose");
  return { kind, key };
}
