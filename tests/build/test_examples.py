"""The shipped examples: built from their source as they are, and doing what they say."""

import json
from pathlib import Path
from typing import Any

from aerofn.build import build
from aerofn.model import Outcome
from tests.build.conftest import FakeHost, Functions, output

EXAMPLES = Path(__file__).parents[2] / "examples"
STOCK = EXAMPLES / "reduce-stock"
ORDER = {"id": 7, "product_id": 2, "quantity": 3}
EVENT = {
    "trigger": "row",
    "type": "INSERT",
    "schema": "public",
    "table": "orders",
    "record": ORDER,
    "old_record": None,
}


class Shop(FakeHost):
    """A database with one product."""

    def __init__(self, stock: int | None) -> None:
        super().__init__()
        self.stock = stock

    async def db_query(self, sql: str, params: str) -> tuple[bool, bytes]:
        self.queries.append((sql, params))
        rows: list[dict[str, Any]] = []
        if self.stock is not None and sql.startswith("SELECT"):
            rows = [{"name": "tea", "stock": self.stock}]
        elif self.stock is not None and self.stock >= json.loads(params)[1]:
            self.stock -= json.loads(params)[1]
            rows = [{"id": 2, "name": "tea", "stock": self.stock}]
        return True, json.dumps({"rows": rows, "rowCount": len(rows)}).encode()


def test_the_shipped_component_is_its_sources(tmp_path: Path) -> None:
    built = build(STOCK / "reduce-stock.js", tmp_path / "rebuilt.wasm")
    assert built.output.read_bytes() == (STOCK / "reduce-stock.wasm").read_bytes()


async def test_reduce_stock(functions: Functions) -> None:
    component = await functions.load_bytes((STOCK / "reduce-stock.wasm").read_bytes())
    shop = Shop(stock=5)
    assert output(await functions.run(component, EVENT, shop)) == {"order": 7, "product": 2, "stock": 2}
    assert shop.logs == [("info", "order 7: 3 × tea, 2 left")]
    assert [params for _, params in shop.queries] == ["[2,3]"]


async def test_reduce_stock_never_goes_below_zero(functions: Functions) -> None:
    component = await functions.load_bytes((STOCK / "reduce-stock.wasm").read_bytes())
    shop = Shop(stock=2)
    run = await functions.run(component, EVENT, shop)
    assert (run.outcome, shop.stock) == (Outcome.FUNCTION_ERROR, 2)
    assert run.error is not None
    assert (run.error.name, run.error.retry) == ("OutOfStock", False)
    assert run.error.message == "order 7 wants 3 × tea, but only 2 are left"
    assert "at shortage (reduce-stock.js:" in (run.error.stack or "")
    unseen = await functions.run(component, EVENT, Shop(stock=None))
    assert unseen.error is not None
    assert unseen.error.message == "order 7 is for product 2, which this caller cannot see"


async def test_hello(functions: Functions) -> None:
    component = await functions.load(EXAMPLES / "hello" / "hello.js")
    caller = {"role": "authenticated", "sub": "user-1"}
    event = {"trigger": "http", "request": {"method": "POST", "body": {"name": "Ada"}}, "caller": caller}
    greeting = output(await functions.run(component, event))
    assert (greeting["message"], greeting["caller"]) == ("Hello, Ada!", caller)
    bare = output(
        await functions.run(component, {"trigger": "http", "request": {"method": "GET", "body": None}})
    )
    assert bare["message"] == "Hello, World!"
