"""The HTTP application: its routes, and what they need of the layers below."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import ASGIApp, Lifespan, Receive, Scope, Send

from aerofn.db.event_list import EventList
from aerofn.db.functions import Functions
from aerofn.db.records import Records
from aerofn.db.secrets import Secrets
from aerofn.db.triggers import Triggers
from aerofn.db.webhooks import Webhooks
from aerofn.dispatch.kept import KeptRequests
from aerofn.dispatch.requests import Requests
from aerofn.settings import Settings
from aerofn.web.auth import Tokens
from aerofn.web.dashboard.application import Dashboard, is_dashboards
from aerofn.web.dashboard.desk import Desk
from aerofn.web.deploy import Deploy
from aerofn.web.endpoint import Endpoint
from aerofn.web.envelope import Envelope
from aerofn.web.events import ManageEvents
from aerofn.web.invocations import InvocationRoutes
from aerofn.web.invoke import METHODS, Invoke
from aerofn.web.kept import KeptAnswers
from aerofn.web.manage import Manage
from aerofn.web.openapi import Document
from aerofn.web.probes import Probes, Readiness
from aerofn.web.secrets import SecretRoutes
from aerofn.web.triggers import TriggerRoutes
from aerofn.web.webhooks.hooks import Hooks

FUNCTIONS = "/functions/v1/"
DEPLOY = FUNCTIONS + "deploy"


@dataclass(frozen=True)
class Ports:
    """What the routes need; the composition root hands it over.

    Args:
        ready: whether the node can take work.
        metrics: body and content type.
        desk: None where there is no dashboard.
    """

    settings: Settings
    requests: Requests
    kept: KeptRequests
    functions: Functions
    secrets: Secrets
    triggers: Triggers
    webhooks: Webhooks
    ready: Callable[[], Awaitable[Readiness]]
    metrics: Callable[[], Awaitable[tuple[bytes, str]]]
    events: EventList
    records: Records
    desk: Desk | None


class _Paths:
    """The router, and in front of it the straight way to functions: routing is a tenth of a short invocation.

    Which of them answers is said by a plain function: one that awaited them would be a layer more of each request.
    """

    def __init__(self, router: ASGIApp, invoke: Invoke) -> None:
        self._router = router
        self._invoke = invoke

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "http" and scope["method"] in METHODS and not scope.get("root_path"):
            path: str = scope["path"]
            if path.startswith(FUNCTIONS) and path != DEPLOY:
                name, _, rest = path[len(FUNCTIONS) :].partition("/")
                if name:
                    scope["path_params"] = {"name": name, "path": rest}
                    return self._invoke(scope, receive, send)
        return self._router(scope, receive, send)


class _Halves:
    """The pages for people, who have a cookie, apart from the API, which trusts none and answers every origin."""

    def __init__(self, dashboard: Dashboard, envelope: Envelope) -> None:
        self._dashboard = dashboard
        self._envelope = envelope

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        pages = scope["type"] == "http" and is_dashboards(scope["path"])
        return (self._dashboard if pages else self._envelope)(scope, receive, send)


class _Application(Starlette):
    """Starlette with one layer around the routes instead of its own, which cost more and answer in plain text."""

    invoke: Invoke
    dashboard: Dashboard | None = None

    def build_middleware_stack(self) -> ASGIApp:
        envelope = Envelope(_Paths(self.router, self.invoke))
        return envelope if self.dashboard is None else _Halves(self.dashboard, envelope)


def create(ports: Ports, lifespan: Lifespan[Starlette]) -> Starlette:
    """The application; `lifespan` runs around it."""
    tokens = Tokens(ports.settings)
    kept = KeptAnswers(ports.kept, tokens, ports.settings.admin_role)
    invoke = Invoke(ports.requests, kept, tokens, ports.settings)
    application = _Application(routes=_routes(ports, tokens, kept, invoke), lifespan=lifespan)
    application.invoke = invoke
    if ports.desk is not None:
        application.dashboard = Dashboard(ports.desk, tokens, ports.settings)
    application.router.redirect_slashes = False
    return application


def _routes(ports: Ports, tokens: Tokens, kept: KeptAnswers, invoke: Invoke) -> list[Route]:
    deploy = Deploy(ports.functions, tokens, ports.settings)
    manage = Manage(ports.functions, tokens)
    secrets = SecretRoutes(ports.secrets, tokens)
    events = ManageEvents(ports.events, tokens)
    triggers = TriggerRoutes(ports.triggers, tokens)
    invocations = InvocationRoutes(ports.records, tokens)
    hooks = Hooks(ports.webhooks, ports.secrets, ports.settings)
    probes = Probes(ports.ready, ports.metrics)
    routes = [
        Route(DEPLOY, Endpoint(POST=deploy.post)),
        Route(FUNCTIONS + "{name}", invoke, methods=METHODS),
        Route(FUNCTIONS + "{name}/{path:path}", invoke, methods=METHODS),
        Route("/results/v1/{id}", Endpoint(GET=kept.show)),
        Route("/manage/v1/functions", Endpoint(GET=manage.list)),
        Route("/manage/v1/functions/{name}", Endpoint(GET=manage.show, DELETE=manage.drop)),
        Route("/manage/v1/functions/{name}/activate", Endpoint(POST=manage.activate)),
        Route("/manage/v1/secrets", Endpoint(GET=secrets.list)),
        Route("/manage/v1/secrets/{secret}", Endpoint(PUT=secrets.set, DELETE=secrets.drop)),
        Route("/manage/v1/invocations", Endpoint(GET=invocations.list)),
        Route("/manage/v1/events", Endpoint(GET=events.list)),
        Route("/manage/v1/events/{event}", Endpoint(GET=events.show)),
        Route("/manage/v1/events/{event}/replay", Endpoint(POST=events.replay)),
        Route("/manage/v1/events/{event}/discard", Endpoint(POST=events.discard)),
        Route("/manage/v1/triggers/{name}/replay", Endpoint(POST=events.replay_all)),
        Route("/manage/v1/triggers/{name}/discard", Endpoint(POST=events.discard_all)),
        Route("/manage/v1/functions/{name}/versions", Endpoint(GET=manage.versions)),
        Route("/manage/v1/functions/{name}/versions/{version}", Endpoint(DELETE=manage.drop_version)),
        Route("/manage/v1/triggers", Endpoint(GET=triggers.list, POST=triggers.create)),
        Route("/manage/v1/triggers/{name}", Endpoint(GET=triggers.show, DELETE=triggers.drop)),
        Route("/manage/v1/triggers/{name}/enable", Endpoint(POST=triggers.enable)),
        Route("/manage/v1/triggers/{name}/disable", Endpoint(POST=triggers.disable)),
        Route("/hooks/v1/{trigger}", Endpoint(POST=hooks.post)),
        Route("/healthz", Endpoint(GET=probes.health)),
        Route("/readyz", Endpoint(GET=probes.readiness)),
        Route("/metrics", Endpoint(GET=probes.metrics)),
    ]
    routes.append(Route("/openapi.json", Endpoint(GET=Document(routes).show)))
    return routes
