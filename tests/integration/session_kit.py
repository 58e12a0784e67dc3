"""What the tests of sessions share: a small application, and sessions that answer decoded rows and errors."""

import json
from contextlib import asynccontextmanager

from aerofn.bridge.session import Session
from aerofn.model import Caller

SCHEMA = """
CREATE TABLE todos (id int PRIMARY KEY, owner text NOT NULL DEFAULT auth.uid(), title text NOT NULL);
ALTER TABLE todos ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON todos USING (owner = (SELECT auth.uid()));
INSERT INTO todos VALUES (1, 'ann', 'ann''s'), (2, 'bob', 'bob''s');
CREATE TABLE uniques (a int UNIQUE DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE plain (id int PRIMARY KEY);
CREATE FUNCTION exec_sql(q text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE q; END $$;
CREATE FUNCTION run_sql(q text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE r text; BEGIN EXECUTE q INTO r; RETURN r; END $$;
CREATE FUNCTION stubborn() RETURNS void LANGUAGE plpgsql AS $$ BEGIN
  LOOP BEGIN PERFORM count(*) FROM generate_series(1, 10000000);
  EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP; END $$;
GRANT ALL ON todos, uniques, plain TO authenticated;
"""


def session(door, sub="ann", function="f"):
    return Session(door, Caller("authenticated", {"sub": sub}), function)


async def ask(opened, text, *params):
    """The reply, decoded."""
    ok, doc = await opened.query(text, json.dumps(params))
    return ok, json.loads(doc)


async def rows(opened, text, *params):
    ok, doc = await ask(opened, text, *params)
    assert ok, doc
    return [list(row.values()) for row in doc["rows"]]


async def error(opened, text, *params):
    ok, doc = await ask(opened, text, *params)
    assert not ok, doc
    return doc


@asynccontextmanager
async def committed(door, sub="ann"):
    opened = session(door, sub)
    yield opened
    await opened.commit()
