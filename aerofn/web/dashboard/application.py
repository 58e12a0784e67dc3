"""The dashboard as an application of its own: its routes, its headers, its errors as pages."""

from http import HTTPStatus

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route, Router
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from aerofn.errors import AeroFnError, NotFound
from aerofn.settings import Settings
from aerofn.web.auth import Tokens
from aerofn.web.client import ClientGone
from aerofn.web.dashboard.desk import Desk
from aerofn.web.dashboard.events import EventPages
from aerofn.web.dashboard.functions import FunctionPages
from aerofn.web.dashboard.invocations import InvocationPages
from aerofn.web.dashboard.login import HOME, Login
from aerofn.web.dashboard.render import html
from aerofn.web.dashboard.session import PATH, Sessions
from aerofn.web.dashboard.site import Site
from aerofn.web.dashboard.triggers import TriggerPages

log = structlog.get_logger(__name__)
_STATIC = PATH + "/static"
# no-store: what the back button shows after logging out, and what a shared machine keeps. Nothing cross-origin, and so
# no CORS. Referrer-Policy is not no-referrer, with which browsers send forms as from nowhere.
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
)


def is_dashboards(path: str) -> bool:
    """Whether a path is the dashboard's to answer."""
    return path in ("/", PATH) or path.startswith(HOME)


class Dashboard:
    """Answers `/` and everything below `/dashboard`."""

    def __init__(self, desk: Desk, tokens: Tokens, settings: Settings) -> None:
        sessions = Sessions(tokens)
        site, login = Site(desk, sessions), Login(sessions, settings)
        self._router = Router(_routes(site, login, desk), redirect_slashes=False, default=_nothing_here)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; errors are pages too."""
        sealing = _Sealing(send, no_cache=scope["path"].startswith(_STATIC))
        try:
            await self._router(scope, receive, sealing)
        except ClientGone:
            return
        except Exception as error:
            if sealing.started:
                raise  # too late for an answer: the server closes the connection
            await _problem(error, scope)(scope, receive, sealing)


class _Sealing:
    """Puts onto an answer the headers that every answer has."""

    def __init__(self, send: Send, *, no_cache: bool) -> None:
        self._send = send
        self._no_cache = no_cache
        self.started = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            headers = list(message["headers"])
            if self._no_cache:
                headers.append((b"cache-control", b"no-cache"))  # kept, and asked for by its ETag
            names = {name for name, _ in headers}
            message["headers"] = [*headers, *(header for header in _HEADERS if header[0] not in names)]
        await self._send(message)


def _routes(site: Site, login: Login, desk: Desk) -> list[BaseRoute]:
    functions, invocations = FunctionPages(desk), InvocationPages(desk)
    events, triggers = EventPages(desk), TriggerPages(desk)
    inner = [
        ("/", "GET", site.page(functions.list)),
        ("/functions/{name}", "GET", site.page(functions.show)),
        ("/functions/{name}/activate", "POST", site.act(functions.activate)),
        ("/invocations", "GET", site.page(invocations.list)),
        ("/invocations/{id}", "GET", site.page(invocations.show)),
        ("/events", "GET", site.page(events.list)),
        ("/events/replay", "POST", site.act(events.replay_all)),
        ("/events/discard", "POST", site.act(events.discard_all)),
        ("/events/{event}", "GET", site.page(events.show)),
        ("/events/{event}/replay", "POST", site.act(events.replay)),
        ("/events/{event}/discard", "POST", site.act(events.discard)),
        ("/triggers", "GET", site.page(triggers.list)),
        ("/triggers/pause", "POST", site.act(triggers.pause)),
        ("/triggers/resume", "POST", site.act(triggers.resume)),
        ("/login", "GET", login.show),
        ("/login", "POST", login.enter),
        ("/logout", "POST", login.leave),
    ]
    return [
        Route("/", _home),
        Route(PATH, _home),
        Mount(_STATIC, StaticFiles(packages=[("aerofn.web.dashboard", "static")])),
        *(Route(PATH + path, endpoint, methods=[method]) for path, method, endpoint in inner),
    ]


async def _home(_: Request) -> Response:
    return RedirectResponse(HOME, 303)


async def _nothing_here(scope: Scope, _receive: Receive, _send: Send) -> None:
    raise NotFound(f"there is no page {scope['path']!r}", hint="the dashboard begins at " + HOME)


def _problem(error: Exception, scope: Scope) -> ASGIApp:
    status = error.status_code if isinstance(error, HTTPException) else getattr(error, "status", 500)
    if isinstance(error, HTTPException):
        error = NotFound(HTTPStatus(status).phrase, hint="the dashboard begins at " + HOME)
    if not isinstance(error, AeroFnError):
        log.error("a page of the dashboard failed", path=scope["path"], exc_info=error)
        error = AeroFnError("the dashboard failed at this page", hint="the service's log has the cause")
    response = html("problem.html", status, error=error)
    if status in (429, 503):
        response.headers["retry-after"] = str(error.retry_after)
    return response
