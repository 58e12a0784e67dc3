"""The doors: logging in with a token, and out."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from aerofn.errors import AeroFnError, InvalidRequest, InvalidToken
from aerofn.settings import Settings
from aerofn.web.dashboard.forms import check_token, form_of
from aerofn.web.dashboard.render import html
from aerofn.web.dashboard.session import PATH, Sessions

HOME = PATH + "/"
_TOO_MANY = 429
# Of a path that some make another place of.
_ELSEWHERE = ("\\", "//", "/.")


class Login:
    """Shows the login form and takes what is sent with it."""

    def __init__(self, sessions: Sessions, settings: Settings) -> None:
        self._sessions = sessions
        self._role = settings.admin_role
        self._has_keys = settings.jwt_secret is not None or settings.jwks_url is not None

    async def show(self, request: Request) -> Response:
        """The form; who is logged in already goes on."""
        wanted = _wanted(request.query_params.get("next"))
        try:
            await self._sessions.of(request)
        except AeroFnError:
            return self._form(request, wanted)
        return RedirectResponse(wanted, 303)

    async def enter(self, request: Request) -> Response:
        """Log in."""
        form = await form_of(request)
        check_token(form, self._sessions.visitor(request))
        wanted = _wanted(form.get("next"))
        response = RedirectResponse(wanted, 303)
        try:
            token = "".join(form.get("token", "").split()).removeprefix("Bearer")
            if not token:
                raise InvalidRequest("there is no token in the form", hint="paste one")
            await self._sessions.open(request, token, response)
        except AeroFnError as error:
            return self._form(request, wanted, error)
        return response

    async def leave(self, request: Request) -> Response:
        """Log out. Who is not logged in any more is out already."""
        form = await form_of(request)
        response = RedirectResponse(PATH + "/login", 303)
        try:
            check_token(form, (await self._sessions.of(request)).form_token)
        except InvalidToken:
            return response
        self._sessions.close(response)
        return response

    def _form(self, request: Request, wanted: str, error: AeroFnError | None = None) -> Response:
        response = Response()
        form_token = self._sessions.visit(request, response)
        page = html(
            "login.html",
            200 if error is None else error.status,
            wanted=wanted,
            error=error,
            form_token=form_token,
            role=self._role,
            has_keys=self._has_keys,
            # The browser keeps the cookie to itself when it comes from another site's link.
            from_elsewhere=request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"),
        )
        if error is not None and error.status == _TOO_MANY:
            page.headers["retry-after"] = str(error.retry_after)
        page.raw_headers += [header for header in response.raw_headers if header[0] == b"set-cookie"]
        return page


def _wanted(text: str | None) -> str:
    """Where to go after the login: a page of the dashboard, whatever the link said and whoever resolves it."""
    fits = text is not None and text.startswith(HOME) and text.isascii() and text.isprintable()
    if text is None or not fits or any(part in text for part in _ELSEWHERE):
        return HOME
    return HOME if text.startswith(HOME + "login") else text
