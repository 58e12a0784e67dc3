"""One client's connection: uvicorn's, with bounds on what a client may cost that sends slowly, too much or nonsense.

The parser (llhttp) is strict: both lengths, two lengths, a length that is no number or a malformed chunk end the
connection with 400, so that a proxy in front and this service never disagree on where a request ends.
"""

import http
from typing import Any
from urllib.parse import unquote

import httptools
import msgspec
from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from aerofn.web.crowd import Crowd
from aerofn.web.envelope import EVERYWHERE
from aerofn.web.exchange import Exchange
from aerofn.web.outbox import Outbox

_HEAD_BYTES = 64 * 1024
_MOST_HEADERS = 256
_MOST_AHEAD = 100  # requests that a client may send before it has an answer to the first
_LEAST_BYTES_PER_S = 1024
_FOREVER = float("inf")
_WAIT_AND_RETRY = frozenset({429, 503})


class Connection(HttpToolsProtocol):
    """Answers a bad request in JSON, and knows until when its client must have sent or read something.

    Class attributes, set by `connections()`:
        most: connections at the same time; a further one is told to come back.
        crowd: counts those of each address.
        outbox: has what is to be sent at the end of the loop's pass.
        patience_s: for a request's head, again for its body, and for reading any of an answer.
    """

    most = 2048
    crowd = Crowd(1024)
    outbox = Outbox()
    patience_s = 20.0

    watched: Exchange | None = None  # whose client's leaving is waited for

    _in_head = True
    _begins = False  # a head, in the data that is being read
    _large = False
    _head_bytes = 0
    _body_since = 0.0
    _body_bytes = 0
    _deadline = _FOREVER
    _unread = 0
    _unread_since = 0.0
    _counted: str | None = None
    _refusal: bytes | None = None  # the last answer; what comes in after it is settled is not read

    def connection_made(self, transport: Any) -> None:  # noqa: D102
        super().connection_made(transport)
        self._deadline = self.loop.time() + self.patience_s
        self._counted = self.crowd.enter(self.client[0] if self.client else "")
        if self._counted is None:
            self._refuse(
                429, "rate_limited", "your address has too many connections here", "use fewer at a time"
            )
        elif len(self.connections) > self.most:
            self._refuse(503, "busy", "this node has as many connections as it may", "try again shortly")

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: D102
        super().connection_lost(exc)
        if self.watched is not None:
            self.watched.lost()
        if self._counted is not None:
            self.crowd.leave(self._counted)
            self._counted = None

    def data_received(self, data: bytes) -> None:  # noqa: D102
        if self._refusal is not None:
            return
        if self._head_bytes + len(data) > _HEAD_BYTES:
            self._large = True
        self._begins = False
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.cycle.keep_alive = False  # what follows would be of another protocol
        except httptools.HttpParserError:
            self._refuse(400, "invalid_request", "this is no valid HTTP request", None)
        if self._in_head:
            # in front of one that begins here there may have been the last request's body
            self._head_bytes += self._size_of_head() if self._begins else len(data)
            if self._head_bytes > _HEAD_BYTES:
                self._refuse_head()

    def on_message_begin(self) -> None:
        """As uvicorn's; the scope is made when all of the head is there."""
        self.url, self.headers, self.expect_100_continue = b"", [], False
        self._in_head, self._begins, self._head_bytes = True, True, 1
        self._deadline = self.loop.time() + self.patience_s

    def on_headers_complete(self) -> None:
        """As uvicorn's, with an exchange, and without what is not asked of it here (websockets, a limit of its own)."""
        if len(self.headers) > _MOST_HEADERS or (self._large and self._size_of_head() > _HEAD_BYTES):
            self._refuse_head()
            raise ValueError("the head is too large")  # so that the parser stops here
        if len(self.pipeline) >= _MOST_AHEAD:
            self._refuse(
                429, "rate_limited", "too many requests at once on one connection", "await the answers"
            )
            raise ValueError("too many requests ahead")
        self._body_since, self._body_bytes = self.loop.time(), 0
        self._deadline = self._body_since + self.patience_s
        version, before = self.parser.get_http_version(), self.cycle
        keep_alive = version != "1.0" and self.parser.should_keep_alive()
        self.cycle = exchange = Exchange(self, self._scope(version), keep_alive=keep_alive)
        self._in_head = False
        if before is None or before.response_complete:
            self._start_asgi_task(exchange, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((exchange, self.app))

    def _scope(self, version: str) -> Scope:
        """ASGI's description of the request whose head is there."""
        url = httptools.parse_url(self.url)
        raw_path = url.path
        path = raw_path.decode("ascii")
        return {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": version,
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "root_path": self.root_path,
            "headers": self.headers,
            "state": self.app_state.copy(),
            "method": self.parser.get_method().decode("ascii"),
            "path": self.root_path + (unquote(path) if "%" in path else path),
            "raw_path": self.root_path.encode("ascii") + raw_path,
            "query_string": url.query or b"",
        }

    def on_body(self, body: bytes) -> None:  # noqa: D102
        self._body_bytes += len(body)
        self._deadline = self._body_since + self.patience_s + self._body_bytes / _LEAST_BYTES_PER_S
        super().on_body(body)

    def on_message_complete(self) -> None:  # noqa: D102
        self._deadline = _FOREVER
        super().on_message_complete()
        if self.cycle.response_complete:
            self._rest()

    def on_response_complete(self) -> None:
        """As uvicorn's, but without a timer for each request: `check` closes a connection that stays silent."""
        if self.pipeline or self.transport.is_closing():
            super().on_response_complete()
            return
        self.server_state.total_requests += 1
        if self._refusal is not None:
            self._end()
            return
        self.flow.resume_reading()
        if not (self._in_head or self.cycle.more_body):
            self._rest()

    def _rest(self) -> None:
        """Nothing is under way: the next request may begin, within some time."""
        self._deadline = self.loop.time() + self.timeout_keep_alive

    def _begun(self) -> bool:
        """Whether the client has sent a part of a request that is not answered."""
        return self._head_bytes > 0 if self._in_head else not self.cycle.response_complete

    def check(self, now: float) -> None:
        """Cut the client off if it is too slow; `now` is the event loop's clock."""
        if self.flow.read_paused:
            self._deadline = max(self._deadline, now + self.patience_s)  # it is we who do not read
        elif now > self._deadline:
            if not self._begun():
                self.close()
            else:
                self._refuse(408, "request_timeout", "the request was sent too slowly", "send it again")
        self._check_reading(now)

    def _check_reading(self, now: float) -> None:
        unread = self.transport.get_write_buffer_size()
        if not unread or unread < self._unread or not self._unread:
            self._unread, self._unread_since = unread, now
        elif now - self._unread_since > self.patience_s:
            self.transport.abort()

    def _size_of_head(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def _refuse_head(self) -> None:
        self._refuse(
            431, "head_too_large", "the request's head is too large", "send fewer or shorter headers"
        )

    def _refuse(self, status: int, code: str, message: str, hint: str | None) -> None:
        """Answer what is being read in place of the application, after all that was read before it, and close."""
        if self._refusal is not None or self.transport.is_closing():
            return
        self._refusal, self._deadline = _refusal(status, code, message, hint), _FOREVER
        last = self.cycle
        if not self._in_head and last.more_body:  # it is the body that is wrong
            if self.pipeline:
                self.pipeline.popleft()
            else:
                if last.response_started:
                    self._refusal = b""
                self._end()
        elif last is None or last.response_complete:
            self._end()
        # else `on_response_complete` of the last good request goes on

    def _end(self) -> None:
        """Send the refusal, and close."""
        self.outbox.put(self.transport, self._refusal or b"", self.loop)
        self.close()

    def close(self) -> None:
        """Close the connection, all answers sent."""
        self.outbox.send()
        self.transport.close()

    def shutdown(self) -> None:
        """As uvicorn's, which closes it if nothing is under way."""
        self.outbox.send()
        super().shutdown()


def _refusal(status: int, code: str, message: str, hint: str | None) -> bytes:
    body = msgspec.json.encode({"code": code, "message": message, "detail": None, "hint": hint})
    headers = [*EVERYWHERE, (b"content-type", b"application/json"), (b"connection", b"close")]
    headers.append((b"content-length", b"%d" % len(body)))
    if status in _WAIT_AND_RETRY:
        headers.append((b"retry-after", b"1"))
    head = b"".join(b"%s: %s\r\n" % header for header in headers)
    line = b"HTTP/1.1 %d %s\r\n" % (status, http.HTTPStatus(status).phrase.encode())
    return line + head + b"\r\n" + body


def connections(most: int, patience_s: float, crowd: Crowd) -> type[Connection]:
    """Connections with these bounds."""
    own = {"most": most, "patience_s": patience_s, "crowd": crowd, "outbox": Outbox()}
    return type("Connection", (Connection,), own)
