"""What functions may not ask: malformed requests, hosts that were not granted, addresses inside."""

import ipaddress
import socket

import pytest

from aerofn.bridge.egress.addresses import Addresses
from aerofn.bridge.egress.egress import Caps, Egress
from aerofn.bridge.egress.grants import Grants
from aerofn.bridge.egress.request import Sent
from aerofn.errors import FetchError

from .asking import Out

EVERYTHING = ("*", "127.0.0.1:1", "localhost:1")


@pytest.mark.parametrize(
    "sent",
    [
        {"url": "ftp://127.0.0.1/"},
        {"url": "file:///etc/passwd"},
        {"url": "/relative"},
        {"url": "http://"},
        {"url": "http:///etc"},
        {"url": "http://127.0.0.1:99999/"},
        {"url": "http://127.0.0.1:1/" + "a" * 8000},
        {"url": "http://user:pass@127.0.0.1:1/"},
        {"url": "http://127.0.0.1:1@evil.example/"},
        {"url": "http://@127.0.0.1:1/"},
        {"url": "http://127.0.0.1:1\\@evil.example/"},
        {"url": "http://[::1/"},
        {"url": "http://a\0b/"},
        {"url": "http://127.0.0.1:1/", "method": "CONNECT"},
        {"url": "http://127.0.0.1:1/", "method": "TRACE"},
        {"url": "http://127.0.0.1:1/", "method": "GET / HTTP/1.1\r\nX: y\r\n\r\n"},
        {"url": "http://127.0.0.1:1/", "headers": {"x": "a\r\ny: b"}},
        {"url": "http://127.0.0.1:1/", "headers": {"x": "a\0"}},
        {"url": "http://127.0.0.1:1/", "headers": {"x y": "a"}},
        {"url": "http://127.0.0.1:1/", "headers": {"x\r\ny": "a"}},
        {"url": "http://127.0.0.1:1/", "headers": {"x": "\u0100"}},
        {"url": "http://127.0.0.1:1/", "headers": {f"x{n}": "" for n in range(101)}},
        {"url": "http://127.0.0.1:1/", "body": "no base64!", "is_base64_encoded": True},
    ],
)
async def test_what_is_no_request(egress, sent):
    with pytest.raises(FetchError) as caught:
        await egress.fetch(1, Grants(EVERYTHING), Sent(**sent))
    assert caught.value.code == "invalid_request"


@pytest.mark.parametrize(
    ("grants", "allowed", "denied"),
    [
        ((), [], ["https://api.example.com/"]),
        (
            ("api.example.com",),
            ["https://api.example.com/", "http://API.example.com/", "https://api.example.com./x"],
            ["https://example.com/", "https://xapi.example.com/", "https://api.example.com:8443/",
             "https://api.example.com.evil.net/", "https://api.example.comm/"],
        ),
        (
            ("*.Example.com:443",),
            ["https://a.example.com/", "https://a.b.example.com/"],
            ["https://example.com/", "http://a.example.com/", "https://evilexample.com/", "https://a.example.com:444/"],
        ),
        (("[2001:DB8::1]:8080",), ["http://[2001:db8::1]:8080/"], ["http://[2001:db8::2]:8080/", "http://[2001:db8::1]/"]),
        (("*",), ["https://anything.example/"], ["https://anything.example:8443/"]),
        (("xn--bcher-kva.example",), ["https://bücher.example/"], ["https://bucher.example/"]),
    ],
)  # fmt: skip
def test_grants(egress, grants, allowed, denied):
    for url in allowed:
        egress.checked(Grants(grants), Sent(url=url))
    for url in denied:
        with pytest.raises(FetchError) as caught:
            egress.checked(Grants(grants), Sent(url=url))
        assert caught.value.code == "egress_denied"


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.1.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "100.100.100.200",
        "0.0.0.0",
        "0.1.2.3",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "198.18.0.1",
        "192.0.2.1",
        "203.0.113.1",
        "192.88.99.1",
        "168.63.129.16",
        "192.0.0.192",
        "::1",
        "::",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::7f00:1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::1",
        "2002:7f00:1::",
        "2001:0:1::1",
        "fe80::1",
        "fec0::1",
        "fd00:ec2::254",
        "ff02::1",
        "2001:db8::1",
        "3fff::1",
        "5f00::1",
        "100::1",
    ],
)
def test_addresses_that_are_not_public(address):
    assert not Addresses().permits(ipaddress.ip_address(address))


def test_addresses_that_are():
    for address in ("8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"):
        assert Addresses().permits(ipaddress.ip_address(address))
    office = Addresses(["10.1.0.0/16", "fd00::/8"])
    for address, permitted in (
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("10.2.0.1", False),
        ("fd00::1", True),
    ):
        assert office.permits(ipaddress.ip_address(address)) is permitted


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0x7f.1", "[::1]",
     "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "0.0.0.0", "127.0.0.1.", "localhost."],
)  # fmt: skip
async def test_this_machine_is_out_of_reach_however_it_is_written(far, host):
    egress = Egress(Addresses(), Caps(seconds=10))
    grants = Grants((f"{host}:{far.port}", f"{host.rstrip('.')}:{far.port}"))
    with pytest.raises(FetchError) as caught:
        await egress.fetch(1, grants, Sent(url=f"http://{host}:{far.port}/"))
    assert caught.value.code in {"egress_denied", "invalid_request", "connect_failed"}
    assert far.connections == 0
    await egress.close()


@pytest.fixture
def names(monkeypatch):
    """Names and what they resolve to, one list after the other."""
    names: dict[str, list[list[str]]] = {}
    real = socket.getaddrinfo

    def resolve(host, port, *more, **options):
        if host not in names:
            return real(host, port, *more, **options)
        addresses = names[host].pop(0) if len(names[host]) > 1 else names[host][0]
        return [found for address in addresses for found in real(address, port, *more, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return names


async def test_a_name_that_resolves_to_inside_is_out_of_reach(far, names):
    names["inside.example"] = [["127.0.0.1"]]
    names["mapped.example"] = [["::ffff:127.0.0.1"]]
    names["both.example"] = [["169.254.169.254", "127.0.0.1"]]
    egress = Egress(Addresses(), Caps(seconds=10))
    for name in names:
        with pytest.raises(FetchError) as caught:
            await egress.fetch(1, Grants((f"{name}:{far.port}",)), Sent(url=f"http://{name}:{far.port}/"))
        assert caught.value.code == "egress_denied"
    assert far.connections == 0
    await egress.close()


async def test_a_name_that_is_bound_anew_is_judged_anew(far, names, monkeypatch):
    """The address that is connected to is the one judged, however often the name changes its mind."""
    names["rebind.example"] = [["127.0.0.2"], ["127.0.0.1"]]
    egress = Egress(Addresses(["127.0.0.2/32"]), Caps(seconds=10))
    out = Out(egress, far, f"rebind.example:{far.port}")
    assert await out.refused("/", host="rebind.example") == "connect_failed"  # nobody listens there
    outlet, _ = egress._outlets._outlets[1]
    outlet._lasting.connector.clear_dns_cache()
    assert await out.refused("/", host="rebind.example") == "egress_denied"
    assert far.connections == 0
    await egress.close()
