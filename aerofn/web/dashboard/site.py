"""What all pages have in common: they need a session, have the same frame, and decide by forms that are sent back."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

import structlog
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from aerofn.errors import InvalidToken, NotAllowed, NotFound
from aerofn.web.dashboard.desk import Desk
from aerofn.web.dashboard.forms import TOKEN, check_token, form_of
from aerofn.web.dashboard.render import html
from aerofn.web.dashboard.session import PATH, Session, Sessions

log = structlog.get_logger(__name__)
Form = Mapping[str, str]
_LONGEST_LOGGED = 300

_NOTICES = {
    "activated": "That version runs now.",
    "discarded": "Given up. It stays visible as cancelled.",
    "discarded_all": "{n} given up.",
    "paused": "Paused: it starts nothing until it is resumed.",
    "replayed": "It runs again.",
    "replayed_all": "{n} run again.",
    "resumed": "Resumed.",
}


class View(NamedTuple):
    """A page: its template, and what that is given."""

    template: str
    context: dict[str, Any]


class Went(NamedTuple):
    """What a form came to: a notice's name, for the page that is shown next."""

    path: str
    notice: str
    number: int = 0

    @property
    def url(self) -> str:
        """Where the browser goes now."""
        path, _, query = self.path.partition("?")
        more = {"notice": self.notice, **({"n": self.number} if self.number else {})}
        return f"{path}?{'&'.join(filter(None, (query, urlencode(more))))}"


class Site:
    """Makes endpoints of the functions that show something or decide something."""

    def __init__(self, desk: Desk, sessions: Sessions) -> None:
        self._desk = desk
        self._sessions = sessions

    def page(self, show: Callable[[Request], Awaitable[View]]) -> Callable[[Request], Awaitable[Response]]:
        """The endpoint of a page."""

        async def endpoint(request: Request) -> Response:
            try:
                session = await self._sessions.of(request)
            except (InvalidToken, NotAllowed):
                return _to_login(request)
            try:
                view = await show(request)
            except NotFound:
                if _by_script(request):
                    return Response(status_code=204)  # what the page shows is gone: it stays as it is
                raise
            return html(view.template, **view.context, **await self._frame(request, session))

        return endpoint

    def act(
        self, decide: Callable[[Request, Form], Awaitable[Went]]
    ) -> Callable[[Request], Awaitable[Response]]:
        """The endpoint of a form: the browser then shows what has become of it."""

        async def endpoint(request: Request) -> Response:
            form = await form_of(request)
            session = await self._sessions.of(request)
            check_token(form, session.form_token)
            went = await decide(request, form)
            self._desk.glances.forget()
            said = {name: value[:_LONGEST_LOGGED] for name, value in form.items() if name != TOKEN}
            log.info("decided in the dashboard", path=request.url.path, form=said, by=session.caller.subject)
            return RedirectResponse(went.url, 303)

        return endpoint

    async def _frame(self, request: Request, session: Session) -> dict[str, Any]:
        waiting = await self._desk.glances.at("waiting", self._desk.figures.waiting)
        return {
            "session": session,
            "waiting": waiting,
            "here": request.url.path,
            "notice": _notice(request),
        }


def _notice(request: Request) -> str | None:
    text = _NOTICES.get(request.query_params.get("notice", ""))
    count = request.query_params.get("n", "0")
    return text and text.format(n=count if count.isdecimal() and len(count) < 10 else "0")


def _by_script(request: Request) -> bool:
    """Whether a page's script asks, to renew it."""
    return "x-requested-with" in request.headers


def _to_login(request: Request) -> Response:
    if _by_script(request):
        return Response(status_code=401)  # it then loads the page anew
    here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(f"{PATH}/login?next={quote(here, safe='')}", 303)
