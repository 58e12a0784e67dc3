"""Functions' HTTP requests against servers of the test's own: what arrives, and what is bounded."""

import asyncio
import base64
import datetime
import json
import socket
import ssl
import threading

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from aerofn.bridge.egress.addresses import Addresses
from aerofn.bridge.egress.body import Budget
from aerofn.bridge.egress.egress import Caps, Egress
from aerofn.bridge.egress.request import Sent
from aerofn.bridge.egress.warm import WarmConnections
from aerofn.errors import FetchError

from .asking import Out
from .far_side import far_side


async def test_a_request_and_its_answer(out):
    answer = await out("/a%2Fb/../c?x=1&y=%41#frag", method="post", body="héllo",
                       headers={"X-Mine": "1", "Authorization": "Bearer t", "x-many": ["1", "2"]})  # fmt: skip
    seen = json.loads(answer.body)
    assert (answer.status, answer.status_text, answer.redirected) == (200, "OK", False)
    assert seen["line"] == "POST /a%2Fb/../c?x=1&y=%41 HTTP/1.1"  # the URL as it was given: it may be signed
    assert seen["body"].encode("latin-1").decode() == "héllo"
    assert answer.headers["x-a"] == "1, 2"
    assert answer.headers["set-cookie"] == ["a=1; Path=/", "b=2"]
    asked = out.far.asked[0]
    assert (asked.header("x-mine"), asked.header("authorization")) == ("1", "Bearer t")
    assert [value for name, value in asked.headers if name == "x-many"] == ["1", "2"]
    assert asked.header("user-agent").startswith("aerofn/")
    assert asked.header("content-type") is None


async def test_headers_of_the_connection_are_ours(out):
    mine = dict.fromkeys(
        ("Host", "Content-Length", "Transfer-Encoding", "Connection", "Upgrade", "Expect", "TE", "Trailer",
         "Proxy-Authorization", "Sec-Fetch-Site", "Accept-Encoding", "Keep-Alive"), "evil"
    )  # fmt: skip
    await out("/", method="POST", body="x", headers=mine)
    asked = out.far.asked[0]
    assert asked.header("host") == f"127.0.0.1:{out.far.port}"
    assert "evil" not in [value for _, value in asked.headers]
    assert asked.header("accept-encoding") == "gzip, deflate"


async def test_bodies_are_bytes_both_ways(out):
    data = bytes(range(256))
    answer = await out("/binary")
    assert (base64.b64decode(answer.body), answer.is_base64_encoded) == (data, True)
    await out("/", method="PUT", body=base64.b64encode(data).decode(), is_base64_encoded=True)
    assert out.far.asked[-1].body == data
    assert (await out("/status?204")).body == ""
    assert (await out("/", method="HEAD")).status == 200


@pytest.mark.parametrize("path", ["gzip", "gzip-twice", "gzip-padded", "deflate", "deflate-raw"])
async def test_compressed_answers(out, path):
    answer = await out(f"/{path}")
    assert answer.body == "unpacked"
    assert "content-encoding" not in answer.headers
    assert "content-length" not in answer.headers


async def test_headers_that_are_no_text(out):
    answer = await out("/odd-headers")
    assert answer.headers["x-odd"] == answer.status_text == "\ufffd\ufffd"
    assert answer.headers["x-utf"] == "é"


async def test_answers_that_are_held_together_are_bounded_together(out):
    together = Budget(600)
    for wanted in (256, 256, None):
        try:
            answer = await out.egress.fetch(1, out.grants, Sent(url=out.far.url("/binary")), together)
            assert len(base64.b64decode(answer.body)) == wanted
        except FetchError as error:
            assert (wanted, error.code) == (None, "response_too_large")


async def test_a_function_whose_names_take_long_holds_up_itself_only(far, monkeypatch):
    release, real = threading.Event(), socket.getaddrinfo

    def slow(host, *more, **options):
        if host == "slow.example":
            release.wait(30)
        return real("127.0.0.1" if host.endswith(".example") else host, *more, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    egress = Egress(Addresses(["127.0.0.0/8"]), Caps(seconds=10))
    out = Out(egress, far, "*", f"slow.example:{far.port}", f"quick.example:{far.port}")
    late = [out("/", host="slow.example", timeout_ms=50) for _ in range(40)]
    codes = [error.code for error in await asyncio.gather(*late, return_exceptions=True)]
    assert codes == ["fetch_timeout"] * 40
    assert (await out("/status?200", host="quick.example", function=2)).status == 200
    release.set()
    await egress.close()


async def test_other_encodings_are_the_functions(out):
    answer = await out("/brotli")
    assert (answer.body, answer.headers["content-encoding"]) == ("whatever it is", "br")
    assert (await out("/gzip-none")).body == ""


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/endless", "response_too_large"),
        ("/bomb", "response_too_large"),
        ("/empty-blocks", "response_too_large"),
        ("/too-short", "bad_response"),
        ("/garbage", "bad_response"),
        ("/hang-up", "bad_response"),
        ("/gzip-cut", "bad_response"),
        ("/gzip-bad", "bad_response"),
        ("/endless-header", "bad_response"),
        ("/forever-round", "too_many_redirects"),
    ],
)
async def test_hostile_answers(out, path, code):
    assert await out.refused(path) == code
    assert (await out("/status?200")).status == 200


@pytest.mark.parametrize("path", ["/drip", "/silent", "/slow-headers"])
async def test_slow_answers_end_in_time(out, path):
    assert await out.refused(path, timeout_ms=200) == "fetch_timeout"
    async with asyncio.timeout(60):  # and their connections with them
        while out.far.open and path != "/silent":
            await asyncio.sleep(0.01)


async def test_the_nodes_own_time_limit(far):
    egress = Egress(Addresses(["127.0.0.0/8"]), Caps(seconds=0.2))
    assert await Out(egress, far).refused("/drip", timeout_ms=60_000) == "fetch_timeout"
    await egress.close()


async def test_more_than_was_announced_is_nobodys(out):
    assert (await out("/too-long")).body == "four"
    assert "sneak" not in (await out("/")).body


async def test_line_breaks_in_a_url_stay_in_it(out):
    for path in ("/a\r\nX-Injected: yes\r\n\r\nGET /b HTTP/1.1", "/a b", "/é?\n"):
        await out(path)
        asked = out.far.asked[-1]
        assert asked.line.count(" ") == 2
        assert asked.header("x-injected") is None


async def test_a_body_that_is_too_large(out):
    assert await out.refused("/", method="POST", body="x" * ((1 << 20) + 1)) == "request_too_large"
    assert out.far.asked == []


async def test_redirects(out):
    answer = await out(f"/redirect?302,{out.far.url('/end')}")
    assert (answer.redirected, answer.url) == (True, out.far.url("/end"))
    manual = await out("/redirect?301,/end", redirect="manual")
    assert (manual.status, manual.headers["location"], manual.redirected) == (301, "/end", False)
    assert await out.refused("/redirect?301,/end", redirect="error") == "redirect_refused"
    assert await out.refused("/redirect?302,http://[") == "bad_response"
    assert await out.refused("/redirect?302,ftp://127.0.0.1/") == "invalid_request"
    assert await out.refused("/redirect?302,http://u:p@127.0.0.1/") == "invalid_request"


@pytest.mark.parametrize(
    ("status", "method", "then"),
    [(301, "POST", "GET"), (302, "POST", "GET"), (303, "PUT", "GET"), (303, "HEAD", "HEAD"), (301, "PUT", "PUT"),
     (307, "POST", "POST"), (308, "PATCH", "PATCH")],
)  # fmt: skip
async def test_methods_after_a_redirect(out, status, method, then):
    body = None if method == "HEAD" else "body"
    await out(f"/redirect?{status},/end", method=method, body=body, headers={"content-type": "a/b"})
    asked = out.far.asked[-1]
    assert asked.line == f"{then} /end HTTP/1.1"
    assert asked.body == (b"body" if then == method and body else b"")
    assert (asked.header("content-type") is None) == (then == "GET")


async def test_each_hop_is_judged(egress, far):
    out = Out(egress, far)
    assert await out.refused("/redirect?302,http://elsewhere.example/") == "egress_denied"
    inside = Egress(Addresses(["127.0.0.1/32"]), Caps(seconds=10))
    grants = ("127.0.0.1:" + str(far.port), "127.0.0.3:" + str(far.port), "169.254.169.254")
    hop = Out(inside, far, *grants)
    assert await hop.refused(f"/redirect?302,http://127.0.0.3:{far.port}/") == "egress_denied"
    assert await hop.refused("/redirect?302,http://169.254.169.254/latest/meta-data/") == "egress_denied"
    assert await hop.refused("/redirect?302,http://2852039166/") == "egress_denied"
    await inside.close()


async def test_credentials_stay_with_their_origin(egress, far):
    async with far_side() as other:
        out = Out(egress, far, f"127.0.0.1:{far.port}", f"127.0.0.1:{other.port}")
        mine = {"Authorization": "Bearer t", "Cookie": "c=1", "X-Mine": "1"}
        await out(f"/redirect?307,{other.url('/end')}", headers=mine)
        (asked,) = other.asked
        assert (asked.header("authorization"), asked.header("cookie"), asked.header("x-mine")) == (
            None,
            None,
            "1",
        )
        await out("/redirect?307,/end", headers=mine)
        assert far.asked[-1].header("authorization") == "Bearer t"


async def test_connections_are_used_again_and_never_shared(out):
    for function in (1, 1, 2, 2):
        await out("/", function=function)
    assert [asked.connection for asked in out.far.asked] == [1, 1, 2, 2]
    assert not any(asked.header("cookie") for asked in out.far.asked)


async def test_connections_are_bounded(far):
    egress = Egress(Addresses(["127.0.0.0/8"]), Caps(seconds=20, per_function=3, per_node=5))
    out = Out(egress, far)
    asked = [asyncio.create_task(out("/silent", function=n % 2)) for n in range(12)]
    async with asyncio.timeout(60):
        while far.open < 5:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    assert far.most_open == 5
    for task in asked:
        task.cancel()
    await asyncio.gather(*asked, return_exceptions=True)
    far.released.set()
    assert (await out("/status?200")).status == 200
    await egress.close()


async def test_one_function_has_its_share_only(far):
    egress = Egress(Addresses(["127.0.0.0/8"]), Caps(seconds=20, per_function=3, per_node=4))
    out = Out(egress, far)
    asked = [asyncio.create_task(out("/silent")) for n in range(8)]
    async with asyncio.timeout(60):
        while far.open < 3:
            await asyncio.sleep(0.01)
    assert (await out("/status?200", function=2)).status == 200
    assert far.most_open == 4
    for task in asked:
        task.cancel()
    await asyncio.gather(*asked, return_exceptions=True)
    await egress.close()


async def test_connections_that_nobody_uses_are_bounded(far, monkeypatch):
    real = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda _host, *more, **options: real("127.0.0.1", *more, **options)
    )
    egress = Egress(Addresses(["127.0.0.0/8"]), Caps(seconds=20, per_node=3))
    out = Out(egress, far, *(f"h{n}.example:{far.port}" for n in range(20)))
    for _ in range(2):
        for n in range(20):
            assert (await out("/status?200", host=f"h{n}.example", function=n % 4)).status == 200
    async with asyncio.timeout(60):
        while far.connected > 3:
            await asyncio.sleep(0.01)
    for _ in range(3):
        await out("/status?200", host="h0.example", function=0)
    used = [asked.connection for asked in far.asked[-3:]]
    assert len(set(used)) == 1  # those that are kept are still used again
    await egress.close()


def test_warm_connections_are_counted_by_where_they_lead():
    now = 0.0
    warm = WarmConnections(2, 10, clock=lambda: now)
    assert [warm.begin("a"), warm.begin("a"), warm.begin("b")] == [True, True, False]
    warm.end("a")
    warm.end("a")
    assert [warm.begin("b"), warm.begin("a")] == [False, True]
    now = 9.0
    warm.end("a")
    now = 11.0
    assert not warm.begin("b")  # a was used two seconds ago
    now = 20.0  # both of a's are closed by now
    assert [warm.begin("b"), warm.begin("b"), warm.begin("b")] == [True, True, False]


async def test_a_certificate_that_nobody_vouches_for(egress, tmp_path):
    async with far_side(_tls(tmp_path)) as far:
        out = Out(egress, far, f"localhost:{far.port}")
        assert await out.refused(far.url("/", "localhost", "https")) == "tls_failed"
        assert far.asked == []


async def test_a_certificate_of_another_name(far, tmp_path, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    async with far_side(_tls(tmp_path)) as far:
        # aiohttp keeps its own context from the import on: this one is made as a new node would make it
        context = ssl.create_default_context()
        monkeypatch.setattr("aiohttp.connector._SSL_CONTEXT_VERIFIED", context)
        egress = Egress(Addresses(["127.0.0.0/8", "::1/128"]), Caps(seconds=10))
        out = Out(egress, far, f"localhost:{far.port}", f"127.0.0.1:{far.port}", f"127.0.0.2:{far.port}")
        assert (await out(far.url("/", "localhost", "https"))).status == 200
        assert await out.refused(far.url("/", "127.0.0.1", "https")) == "tls_failed"
        assert await out.refused(
            far.url(f"/redirect?302,http://localhost:{far.port}/", "localhost", "https")
        ) == ("redirect_refused")
        await egress.close()


def _tls(folder) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert, private = folder / "cert.pem", folder / "key.pem"
    cert.write_bytes(certificate.public_bytes(Encoding.PEM))
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, private)
    return context
