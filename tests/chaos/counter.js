export async function handler(order, event) {
  await db.query("UPDATE counter SET n = n + 1 WHERE id = $1", [order.id % 10]);
  await db.query("INSERT INTO ledger (order_id) VALUES ($1)", [order.id]);
  // Among those that share a transaction there are always some that fail, after their effects.
  if (order.id % 11 === 0 && event.attempt === 1) throw new Error("the first attempt fails");
}
