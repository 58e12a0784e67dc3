"""What of the web platform a JavaScript function has: fetch, http, headers, abort, crypto, encoding, URL."""

from tests.build.conftest import Call, FakeHost, output

JSON_ANSWER = (True, {"status": 200, "headers": {"content-type": "application/json"}, "body": '{"a":1}'})


async def test_fetch(platform: Call) -> None:
    host = FakeHost(fetch=JSON_ANSWER)
    init = {"method": "post", "headers": {"X-A": "1"}, "body": "text"}
    assert output(await platform("fetch", host, url="https://a.example/x", init=init)) == {
        "ok": True,
        "status": 200,
        "type": "application/json",
        "headers": [["content-type", "application/json"]],
        "json": {"a": 1},
        "text": '{"a":1}',
        "used": True,
    }
    headers = {"content-type": "text/plain;charset=UTF-8", "x-a": "1"}
    assert host.requests == [
        {"url": "https://a.example/x", "method": "POST", "headers": headers, "body": "text"}
    ]


async def test_fetch_bodies(platform: Call) -> None:
    host = FakeHost(fetch=JSON_ANSWER)
    output(await platform("fetchBody", host))
    assert [(one["method"], one["url"], one["body"]) for one in host.requests] == [
        ("POST", "https://a.example/form", "a=1+2&b=%C3%A9"),
        ("PUT", "https://a.example/json", '{"a":1}'),
        ("POST", "https://a.example/bytes", "aMOpbGxv"),
    ]
    assert host.requests[0]["headers"]["content-type"].startswith("application/x-www-form-urlencoded")
    assert host.requests[2]["headers"] == {"x-b": "2"}
    assert [one.get("isBase64Encoded") for one in host.requests] == [None, None, True]


async def test_fetch_binary(platform: Call) -> None:
    answer = {
        "status": 200, "statusText": "Fine", "headers": {"set-cookie": ["a=1", "b=2"], "x-a": "1, 2"},
        "body": "/wCA", "isBase64Encoded": True, "url": "https://b.example/", "redirected": True,
    }  # fmt: skip
    host = FakeHost(fetch=(True, answer))
    assert output(await platform("fetchBinary", host)) == {
        "bytes": "ff0080", "buffer": "ff0080", "text": "\ufffd\0\ufffd", "blob": [3, "", "ff0080"],
        "url": "https://b.example/", "redirected": True, "cookies": ["a=1", "b=2"], "plain": "1, 2", "listed": 2,
        "status": "Fine",
    }  # fmt: skip
    (sent,) = host.requests
    assert (sent["body"], sent["isBase64Encoded"], sent["headers"]) == (
        "/8Op", True, {"content-type": "image/x"},
    )  # fmt: skip


async def test_fetches_asked_for_together_go_out_together(platform: Call) -> None:
    ok, err = {"ok": {"status": 200, "headers": {}, "body": ""}}, {"err": {"code": "connect_failed"}}
    host = FakeHost(fetch=(True, [ok, err] * 16))
    assert output(await platform("fetchTogether", host)) == [200, "connect_failed"] * 20
    assert [len(request) for request in host.requests] == [32, 8]


async def test_fetch_after_commit(platform: Call) -> None:
    host = FakeHost(fetch=(True, {"idempotencyKey": "k"}))
    assert output(await platform("fetchAfterCommit", host)) == {"idempotencyKey": "k"}
    assert host.requests[0]["afterCommit"] is True


async def test_fetch_failures(platform: Call) -> None:
    refused = FakeHost(fetch=(False, {"code": "egress_denied", "message": "the host is not allowed"}))
    assert output(await platform("fetchFails", refused)) == {
        "name": "TypeError",
        "message": "fetch GET https://refused.example/ failed: the host is not allowed",
        "code": "egress_denied",
    }
    host = FakeHost(fetch=JSON_ANSWER)
    assert (
        output(await platform("fetchGetBody", host))["message"] == "fetch: a GET request cannot have a body"
    )
    assert host.requests == []
    assert output(await platform("fetchTwice", host))["message"] == "the body has already been read"


async def test_http(platform: Call) -> None:
    host = FakeHost(fetch=JSON_ANSWER)
    assert output(await platform("http", host)) == {"got": {"a": 1}, "posted": 200, "body": '{"a":1}'}
    assert host.requests[1]["body"] == '{"name":"tea"}'
    assert host.requests[1]["headers"] == {"content-type": "application/json"}
    assert output(await platform("arrayBuffer", host)) == b'{"a":1}'.hex()


async def test_http_sends_bodies_as_they_are_and_headers_as_they_are_given(platform: Call) -> None:
    host = FakeHost(fetch=JSON_ANSWER)
    output(await platform("httpBodies", host))
    assert [(request["headers"], request["body"]) for request in host.requests] == [
        ({"content-type": "application/x-www-form-urlencoded;charset=UTF-8"}, "a=1+2"),
        ({}, "AQA="),
        ({"content-type": "application/merge-patch+json"}, '{"a":1}'),
        ({"content-type": "application/json", "x-a": "1"}, "null"),
    ]


async def test_headers_and_responses(platform: Call) -> None:
    assert output(await platform("headers")) == {"all": [["x-a", "1, 2"]], "has": True, "none": None}
    assert "is not a header name" in output(await platform("badHeader"))["message"]
    made = {"content-type": "text/plain;charset=UTF-8", "x-made": "yes"}
    assert output(await platform("response")) == {"statusCode": 201, "headers": made, "body": "made"}
    cookies = {"set-cookie": ["a=1", "b=2"]}
    assert output(await platform("responseBinary")) == {
        "statusCode": 200,
        "headers": cookies,
        "body": "/w==",
        "isBase64Encoded": True,
    }
    json_headers = {"content-type": "application/json"}
    assert output(await platform("responseJson")) == {
        "statusCode": 202,
        "headers": json_headers,
        "body": '{"ok":true}',
    }


async def test_abort(platform: Call) -> None:
    host = FakeHost(fetch=JSON_ANSWER)
    result = output(await platform("abort", host))
    assert (result["before"]["name"], result["late"]["name"], result["ready"]) == (
        "AbortError",
        "TimeoutError",
        200,
    )
    assert len(host.requests) == 1


async def test_crypto(platform: Call) -> None:
    digests = output(await platform("digest"))
    assert digests["SHA-1"] == "a9993e364706816aba3e25717850c26c9cd0d89d"
    assert digests["SHA-256"] == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert [len(digests[name]) for name in ("SHA-384", "SHA-512")] == [96, 128]
    mac = output(await platform("hmac"))
    assert mac["signature"] == "8b5f48702995c1598c573db1e21866a9b825d4a794d169d7060a03605796360b"
    assert (mac["good"], mac["bad"], mac["jwk"]["k"], mac["jwk"]["alg"]) == (True, False, "c2VjcmV0", "HS256")
    assert [one["name"] for one in output(await platform("cryptoRefused"))] == [
        "NotSupportedError",
        "NotSupportedError",
        "InvalidAccessError",
        "InvalidAccessError",
        "TypeMismatchError",
        "QuotaExceededError",
    ]


async def test_encoding(platform: Call) -> None:
    sample = "aé€😀"
    assert output(await platform("encoding")) == {
        "hex": sample.encode().hex(),
        "back": sample,
        "streamed": sample,
        "loose": "a\ufffdb",
        "lone": "efbfbd",
        "bom": "a",
        "into": {"read": 1, "written": 2},
        "base64": ["aGk=", "hi"],
    }
    assert output(await platform("strict"))["name"] == "TypeError"
    assert output(await platform("unknownEncoding"))["name"] == "RangeError"


async def test_url(platform: Call) -> None:
    href = "https://user:pw@xn--exmple-cua.com:8443/a/b%20c?x=1&y=+&q=%C3%BC%26#h"
    result = output(await platform("url"))
    assert (result["href"], result["json"]) == (href, f'{{"url":"{href}"}}')
    assert (result["host"], result["y"], result["can"]) == ("xn--exmple-cua.com:8443", " ", False)
    assert output(await platform("params")) == ["1", "3", "x=1+2"]


async def test_structured_clone(platform: Call) -> None:
    assert output(await platform("clone")) == [True, 5, 1, True, 2]
