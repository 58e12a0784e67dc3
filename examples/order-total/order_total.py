"""Adds up a new order's items, with VAT, to the cent."""

from decimal import ROUND_HALF_UP, Decimal

from aerofn import db, log

CENT = Decimal("0.01")


class EmptyOrder(Exception):
    """There is nothing to add up, and trying again will not change that."""

    retry = False


def handler(order, event):
    items = db.query("SELECT price, quantity FROM order_items WHERE order_id = $1", [order["id"]])
    if not items:
        raise EmptyOrder(f"order {order['id']} has no items")
    net = sum(item["price"] * item["quantity"] for item in items)
    total = (net * (1 + order["vat"])).quantize(CENT, ROUND_HALF_UP)
    db.query("UPDATE orders SET total = $2 WHERE id = $1", [order["id"], total])
    log.info("order %s: %d items, %s", order["id"], len(items), total)
    return {"order": order["id"], "total": total}
