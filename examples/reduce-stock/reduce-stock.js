// Row trigger on `orders`: takes the ordered quantity from the product's stock.
//
// The UPDATE runs in the function's one transaction, as the caller, under row-level security. If the
// stock would become negative the function throws, everything it did is rolled back, and the event is
// buried at once: trying again cannot help (`retry = false`).

export async function handler(order) {
  const [product] = await db.query(
    "UPDATE products SET stock = stock - $2 WHERE id = $1 AND stock >= $2 RETURNING id, name, stock",
    [order.product_id, order.quantity],
  );
  if (!product) throw await shortage(order);
  console.log(`order ${order.id}: ${order.quantity} × ${product.name}, ${product.stock} left`);
  return { order: order.id, product: product.id, stock: product.stock };
}

async function shortage(order) {
  const [product] = await db.query("SELECT name, stock FROM products WHERE id = $1", [order.product_id]);
  const error = new Error(
    product
      ? `order ${order.id} wants ${order.quantity} × ${product.name}, but only ${product.stock} are left`
      : `order ${order.id} is for product ${order.product_id}, which this caller cannot see`,
  );
  error.name = "OutOfStock";
  error.retry = false;
  return error;
}
