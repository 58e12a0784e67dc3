"""Who may see the dashboard and decide in it: sessions, forms, and what the browser is told."""

import re

import httpx
import jwt
import pytest
import pytest_asyncio
from starlette.routing import Route

from .dashboard_kit import OURS, dead_event, form_token, log_in, send
from .http_kit import SECRET, bearer, deploy, lasting, served, token

COMPONENT = bytes.fromhex("0061736d0d000100")


@pytest_asyncio.fixture(scope="module")
async def site(module_database):
    """A served node for all of these tests, and its URL."""
    options = {"trusted_proxies": "127.0.0.1", "forgery_rate": "1000/minute"}
    async with lasting(module_database, **options) as node, served(node) as client:
        yield node, str(client.base_url)


@pytest.fixture
def node(site):
    return site[0]


@pytest.fixture
async def client(site):
    """A browser that knows nothing yet."""
    async with httpx.AsyncClient(base_url=site[1], timeout=90) as client:
        yield client


@pytest.fixture
async def conn(module_database):
    return await module_database.connect()


def routes(node, method):
    inner = [r for r in node.application().dashboard._router.routes if isinstance(r, Route)]
    paths = [r.path for r in inner if method in r.methods and not r.path.endswith(("/login", "/logout"))]
    return [re.sub(r"{\w+}", "1", path) for path in paths]


async def test_the_session_is_the_token(client):
    answer = await client.get("/")
    assert (answer.status_code, answer.headers["location"]) == (303, "/dashboard/")
    answer = await client.get("/dashboard/events?state=dead", headers=OURS)
    assert answer.headers["location"] == "/dashboard/login?next=%2Fdashboard%2Fevents%3Fstate%3Ddead"
    entered = await log_in(client)
    assert (entered.status_code, entered.headers["location"]) == (303, "/dashboard/events")
    cookie = entered.headers.get_list("set-cookie")[0].split("; ")
    assert cookie[0].startswith("aerofn_session=ey")
    assert {"HttpOnly", "Path=/dashboard", "SameSite=strict"} < set(cookie)
    assert 0 < next(int(one[8:]) for one in cookie if one.startswith("Max-Age=")) <= 600
    assert "Secure" not in cookie
    page = await client.get("/dashboard/", headers=OURS)
    assert (page.status_code, "ops" in page.text) == (200, True)
    assert token("service_role", sub="ops")[:40] not in page.text
    out = await send(client, "/logout")
    assert (out.status_code, out.headers["location"]) == (303, "/dashboard/login")
    assert (await client.get("/dashboard/", headers=OURS)).status_code == 303


async def test_over_https_the_cookie_is_secure(client):
    client.headers["x-forwarded-proto"] = "https"
    form = await form_token(client, "/dashboard/login")
    visit = (await client.get("/dashboard/login")).headers["set-cookie"]
    assert visit.startswith("aerofn_visit=")
    assert "Secure" in visit
    # httpx keeps a secure cookie to itself over http, as a browser does
    headers = {**OURS, "cookie": visit.partition(";")[0]}
    form = re.search(r'value="([0-9a-f]{64})"', (await client.get("/dashboard/login", headers=headers)).text)[
        1
    ]
    given = {"form_token": form, "token": token("service_role")}
    entered = await client.post("/dashboard/login", data=given, headers=headers)
    assert entered.status_code == 303
    assert "Secure" in entered.headers.get_list("set-cookie")[0]


CLOSED = [
    (lambda: jwt.encode({"role": "service_role"}, "another secret, and as long as it has to be"), 401, "not valid"),
    (lambda: token("service_role", exp=1), 401, "expired"),
    (lambda: token("authenticated"), 403, "may not do this"),
    (lambda: "<script>alert(1)</script>", 401, "not valid"),
    (lambda: token("service_role", more="x" * 4000), 400, "longer than 3800"),
    (lambda: " ", 400, "no token"),
]  # fmt: skip


async def test_what_does_not_open_the_door(client):
    form = await form_token(client, "/dashboard/login")
    for given, status, said in CLOSED:
        answer = await client.post(
            "/dashboard/login", data={"form_token": form, "token": given()}, headers=OURS
        )
        assert answer.status_code == status, said
        assert said in answer.text
        assert "aerofn_session" not in str(answer.headers)
        assert "<script>alert" not in answer.text


async def test_a_token_may_be_pasted_with_line_breaks_and_bearer(client):
    form = await form_token(client, "/dashboard/login")
    made = token("service_role")
    given = {"form_token": form, "token": f"Bearer {made[:50]}\r\n  {made[50:]}\n"}
    assert (await client.post("/dashboard/login", data=given, headers=OURS)).status_code == 303


ELSEWHERE = [
    "https://evil.example/", "//evil.example", "/dashboard/\\evil", "/functions/v1/f", "javascript:alert(1)",
    "/dashboard/login", "/dashboard/\u202e", "/dashboardx", "/dashboard/..//evil.example", "/dashboard//evil.example",
]  # fmt: skip


async def test_the_login_leads_nowhere_else(client):
    for wanted in ELSEWHERE:
        page = await client.get("/dashboard/login", params={"next": wanted})
        assert 'name="next" value="/dashboard/"' in page.text, wanted


async def test_a_session_that_has_ended_is_none(node, client):
    for ended in (token("service_role", exp=1), token("anon"), "nonsense", ""):
        headers = {**OURS, "cookie": f"aerofn_session={ended}"}
        for path in routes(node, "GET")[2:]:
            answer = await client.get(path, headers=headers)
            assert answer.status_code == 303, path
            assert answer.headers["location"].startswith("/dashboard/login?next="), path
    polled = await client.get("/dashboard/", headers={**OURS, "x-requested-with": "XMLHttpRequest"})
    assert (polled.status_code, polled.content) == (401, b"")


async def test_guessing_is_slowed_down(node_of):
    async with node_of(jwt_secret=SECRET, port=0, forgery_rate="2/minute") as node, served(node) as client:
        form = await form_token(client, "/dashboard/login")
        seen = []
        for number in range(4):
            guess = jwt.encode(
                {"role": "service_role", "n": number}, "another secret, as long as it has to be"
            )
            given = {"form_token": form, "token": guess}
            answer = await client.post("/dashboard/login", data=given, headers=OURS)
            seen.append(answer.status_code)
        assert (seen[0], seen[-1]) == (401, 429)
        assert int(answer.headers["retry-after"]) > 0


async def test_forms_from_anywhere_else_decide_nothing(node, client, conn):
    await conn.execute("SELECT aerofn.register_function('f', $1)", COMPONENT)
    event = await dead_event(conn)
    await log_in(client)
    good = await form_token(client)
    cases = [
        ({"form_token": good}, {"sec-fetch-site": "cross-site"}),
        ({"form_token": good}, {"sec-fetch-site": "same-site"}),
        ({"form_token": good}, {"sec-fetch-site": "none"}),
        ({"form_token": good}, {"sec-fetch-site": "cross-site", "origin": "null"}),
        ({"form_token": good}, {"origin": "https://evil.example"}),
        ({"form_token": good}, {"origin": "null"}),
        ({"form_token": good}, {}),
        ({"form_token": "0" * 64}, OURS),
        ({"form_token": "é"}, OURS),
        ({}, OURS),
    ]
    paths = [*routes(node, "POST"), f"/dashboard/events/{event}/discard", "/dashboard/logout"]
    assert len(paths) >= 9
    for path in paths:
        for form, headers in cases:
            answer = await client.post(path, data={"trigger": "t", "version": "1", **form}, headers=headers)
            assert (answer.status_code, "form_refused" in answer.text) == (403, True), (path, form, headers)
    assert await conn.fetchval("SELECT state FROM aerofn.events WHERE id = $1", event) == "dead"
    # by Origin alone, as a browser over plain HTTP sends it
    here = {"origin": str(client.base_url).rstrip("/")}
    answer = await client.post(f"/dashboard/events/{event}/discard", data={"form_token": good}, headers=here)
    assert answer.status_code == 303


async def test_another_sessions_form_decides_nothing(client):
    await log_in(client)
    other = await form_token(client)
    client.cookies.clear()
    await log_in(client, jti="another")
    answer = await client.post("/dashboard/logout", data={"form_token": other}, headers=OURS)
    assert answer.status_code == 403
    assert (await client.get("/dashboard/", headers=OURS)).status_code == 200


async def test_what_is_no_form(client):
    form = "application/x-www-form-urlencoded"
    for kind, body, status in (
        ("application/json", b"{}", 400), ("text/plain", b"a=b", 400), (form, b"&" * 40_000, 413),
        (form, b"a=b&" * 20, 400), (form, b"\xff=1", 400),
    ):  # fmt: skip
        answer = await client.post("/dashboard/login", content=body, headers={**OURS, "content-type": kind})
        assert answer.status_code == status, (kind, body[:10])
    assert (await client.post("/dashboard/login", content=b"a=b", headers=OURS)).status_code == 400


async def test_what_the_browser_is_told(client):
    await log_in(client)
    for path in (
        "/dashboard/",
        "/dashboard/login",
        "/dashboard/nowhere",
        "/dashboard/static/dashboard.css",
        "/",
    ):
        answer = await client.get(path, headers={"origin": "https://app.example"})
        headers = answer.headers
        assert "access-control-allow-origin" not in headers
        assert headers["x-frame-options"] == "DENY"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        policy = dict(one.strip().split(" ", 1) for one in headers["content-security-policy"].split(";"))
        assert (policy["default-src"], policy["frame-ancestors"]) == ("'none'", "'none'")
        assert "unsafe" not in str(policy)
        if answer.status_code != 303 and "static" not in path:
            assert headers["cache-control"] == "no-store"
            nonce = re.fullmatch(r"'nonce-([\w-]{20,})'", policy["script-src"])[1]
            scripts = re.findall(r"<(?:script|link rel=\"stylesheet\")[^>]*>", answer.text)
            assert all(f'nonce="{nonce}"' in one for one in scripts)
            assert " style=" not in answer.text
            assert not re.search(r"\son\w+=", answer.text)
    assert (await client.options("/dashboard/")).status_code == 405


async def test_a_function_never_sees_the_cookie(client, probe):
    await deploy(client, "probe", probe)
    cookies = "a=1; aerofn_session=stolen;__Host-aerofn=stolen; AEROFN_visit=stolen; b=2"
    for path in ("/functions/v1/probe", "/functions/v1/probe/x"):
        answer = await client.post(path, json={"do": "event"}, headers={**bearer(), "cookie": cookies})
        assert answer.json()["request"]["headers"]["cookie"] == "a=1; b=2"
    only = {**bearer(), "cookie": "aerofn_session=stolen"}
    answer = await client.post("/functions/v1/probe", json={"do": "event"}, headers=only)
    assert "cookie" not in answer.json()["request"]["headers"]


async def test_the_cookie_opens_nothing_but_the_dashboard(client):
    await log_in(client)
    cookie = {"cookie": f"aerofn_session={token('service_role')}", **OURS}
    for path in ("/manage/v1/functions", "/manage/v1/events", "/manage/v1/secrets"):
        assert (await client.get(path, headers=cookie)).status_code == 401
    assert (await client.post("/functions/v1/deploy", headers=cookie)).status_code == 401


async def test_it_can_be_switched_off(node_of):
    async with node_of(jwt_secret=SECRET, port=0, dashboard=False) as node:
        transport = httpx.ASGITransport(node.application())
        async with httpx.AsyncClient(transport=transport, base_url="http://aerofn") as client:
            for path in ("/", "/dashboard/", "/dashboard/login"):
                answer = await client.get(path)
                assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        assert node.parts.desk is None


async def test_without_keys_the_login_says_so(node_of):
    async with node_of(port=0) as node, served(node) as client:
        assert "AEROFN_JWT_SECRET" in (await client.get("/dashboard/login")).text


async def test_who_comes_by_a_link_of_another_site_can_go_on(client):
    await log_in(client)
    cookies = dict(client.cookies)
    client.cookies.clear()  # a browser sends no SameSite=Strict cookie then
    away = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    answer = await client.get("/dashboard/triggers", headers=away, follow_redirects=True)
    assert '<a href="/dashboard/triggers">Go on' in answer.text
    # and should one send it, it counts for nothing
    headers = {**away, "cookie": f"aerofn_session={cookies['aerofn_session']}"}
    assert (await client.get("/dashboard/triggers", headers=headers)).status_code == 303
