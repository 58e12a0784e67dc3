export async function handler(order) {
  await db.query("UPDATE products SET stock = stock - $1 WHERE id = $2", [order.quantity, order.product_id]);
}
