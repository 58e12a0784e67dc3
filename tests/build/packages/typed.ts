// Checked by the TypeScript compiler against aerofn.d.ts, never run.

interface Order {
  id: number;
  product_id: number;
}

export const handler: AeroFnHandler<Order> = async (order, event) => {
  const [product] = await db.query<{ stock: number }>("SELECT stock FROM products WHERE id = $1", [order.product_id]);
  const { rows, rowCount } = await db.query("SELECT 1 AS one");
  console.log(product?.stock.toFixed(1), rows[0].one, rowCount, event.caller?.role, env.KEY ?? env.get("KEY"));
  const answer = await http.post("https://a.example/", { order: order.id });
  const secret = new TextEncoder().encode("secret");
  const key = await crypto.subtle.importKey("raw", secret, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  setTimeout((text: string) => text.length, 5, "x");
  try {
    await fetch(new URL("/x", "https://a.example"), { signal: AbortSignal.timeout(100) });
  } catch (error) {
    if (error instanceof PgError) console.error(error.code, error.constraint);
  }
  // @ts-expect-error a parameter list is an array
  await db.query("SELECT $1", order.id);
  // @ts-expect-error no such field of an order
  console.log(order.quantity);
  // @ts-expect-error there is no document in the sandbox
  console.log(document);
  const error = new Error("out of stock");
  error.retry = false;
  return Response.json({ ok: answer.ok, type: key.type });
};
