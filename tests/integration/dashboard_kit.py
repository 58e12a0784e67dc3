"""The dashboard's tests: a client that is logged in, and rows that users with bad intentions could have written."""

import html
import json
import re
import uuid

from .http_kit import token

FORM_TOKEN = re.compile(r'name="form_token" value="([0-9a-f]{64})"')
OURS = {"sec-fetch-site": "same-origin", "sec-fetch-mode": "navigate"}
HOSTILE = '</td></textarea></title><script>window.hacked = 1</script><img src=x onerror="window.hacked = 1">\'"{{7*7}}'
REVERSED = "safe\u202etxt.exe\u2066\x1b[31m"


async def form_token(client, path="/dashboard/"):
    return FORM_TOKEN.search((await client.get(path, headers=OURS)).text)[1]


async def log_in(client, **claims):
    """Log this client in; answers what the login answered."""
    form = {
        "form_token": await form_token(client, "/dashboard/login"),
        "token": token("service_role", sub="ops", **claims),
        "next": "/dashboard/events",
    }
    return await client.post("/dashboard/login", data=form, headers=OURS)


async def send(client, path, **fields):
    """Send a form as a page of the session would."""
    fields["form_token"] = await form_token(client)
    return await client.post(f"/dashboard{path}", data=fields, headers=OURS)


def text_of(page):
    """What a page says."""
    return html.unescape(re.sub(r"<[^>]*>", "", page))


async def record(
    conn, function="f", status="success", *, ago=0.0, event=None, error=None, logs=(), user=None
):
    """Write an invocation's record; answers its id."""
    made = str(uuid.uuid4())
    await conn.execute(
        """INSERT INTO aerofn_internal.invocations
             (id, function, version, "trigger", event_id, attempt, status, duration_ms, cpu_ms, memory_peak_mb, queries,
              user_id, role, error, logs, "timestamp")
           VALUES ($1, $2, 1, 'row', $3, 1, $4, 12.5, 3, 1.5, 2, $5, 'service_role', $6, $7,
                   now() - make_interval(secs => $8))""",
        made, function, event, status, user, error and json.dumps(error), json.dumps(list(logs)), ago,
    )  # fmt: skip
    return made


async def dead_event(conn, message="it failed", trigger=None, record=None):
    """Make an event of function f that was given up; answers its id."""
    error = {"attempt": 1, "at": "2026-01-02T03:04:05Z", "code": "trap", "message": message, "stack": message}
    return await conn.fetchval(
        """INSERT INTO aerofn_internal.events (function_id, trigger_id, source, state, attempt, role, record, errors)
           SELECT f.id, (SELECT t.id FROM aerofn_internal.triggers t WHERE t.name = $1), 'row', 'dead', 1, 'anon', $2,
                  jsonb_build_array($3::jsonb)
           FROM aerofn_internal.functions f WHERE f.name = 'f' RETURNING id""",
        trigger, json.dumps(record), json.dumps(error),
    )  # fmt: skip
