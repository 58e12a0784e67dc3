"""JSON that jsonb takes."""

import json

import pytest

from aerofn.db.jsonb import jsonb


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("plain é", "plain é"),
        ("a\0b\0\0", "a\ufffdb\ufffd\ufffd"),
        (r"a\u0000b", r"a\u0000b"),
        ("\\\0", "\\\ufffd"),
        (r"\\u0000" + "\0", r"\\u0000" + "\ufffd"),
    ],
)
async def test_a_nul_is_replaced_and_nothing_else(given, kept, database):
    text = jsonb({"m": [given]})
    assert json.loads(text) == {"m": [kept]}
    conn = await database.connect()
    assert await conn.fetchval("SELECT $1::jsonb -> 'm' ->> 0", text) == kept
