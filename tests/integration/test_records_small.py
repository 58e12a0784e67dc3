"""What a guest says of its end cannot fill the database or hold up the node: its record stays small."""

import sys

import pytest

from tests.conftest import ROOT

from .http_kit import SECRET, bearer, deploy, served

sys.path.insert(0, str(ROOT / "tests" / "guests"))
import wat

DIGITS = "0123456789ABCDEFGHIJ"
DOUBLED = "_Z1f1AIiiES_IS0_S0_E" + "".join(f"S_IS{digit}_S{digit}_E" for digit in DIGITS[1:17])
DEEP = wat.component(
    "(drop (call $x (i32.const 8)))",
    fields=f"""(func $x (@name "{DOUBLED}") (param i32) (result i32)
      (if (i32.eqz (local.get 0)) (then unreachable))
      (i32.add (i32.const 1) (call $x (i32.sub (local.get 0) (i32.const 1)))))""",
)
LARGE = wat.component(
    """(memory.fill (i32.const 8192) (i32.const 65) (i32.const 6000000)) (i32.store8 (i32.const 0) (i32.const 1))
    (i32.store (i32.const 4) (i32.const 8192)) (i32.store (i32.const 8) (i32.const 6000000)) (return (i32.const 0))""",
    memory="200",
)


@pytest.mark.parametrize(
    ("wasm", "status"), [(DEEP, "trap"), (LARGE, "function_error")], ids=["names", "error"]
)
async def test_a_record_stays_small(conn, node_of, wasm, status):
    async with node_of(jwt_secret=SECRET, port=0) as node, served(node) as client:
        assert (await deploy(client, "bomb", wasm)).is_success
        answer = await client.post("/functions/v1/bomb", json={}, headers=bearer())
        (record,) = await node.records.until(1)
        assert record.status == status
        await node.stop()
    assert len(answer.content) < 50_000
    assert 0 < await conn.fetchval("select max(length(i::text)) from aerofn.invocations i") < 50_000
