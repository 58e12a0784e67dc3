// Locked in the order of their ids, so that two batches never wait for each other in a circle.
const UPDATE = `
  WITH sold AS (
    SELECT product_id, sum(quantity) AS quantity
    FROM json_to_recordset($1) AS o (product_id int, quantity int) GROUP BY product_id
  ), locked AS (
    SELECT p.id FROM products p JOIN sold ON sold.product_id = p.id ORDER BY p.id FOR UPDATE OF p
  )
  UPDATE products p SET stock = p.stock - sold.quantity FROM locked JOIN sold ON sold.product_id = locked.id
  WHERE p.id = locked.id`;

export async function handler(orders) {
  await db.query(UPDATE, [orders]);
}
