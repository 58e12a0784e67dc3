"""The pages of functions: all of them with the last hour's figures, and one with its versions."""

import asyncio

from starlette.requests import Request

from aerofn.db.figures import Minutes
from aerofn.db.functions import ListedFunction
from aerofn.db.records import Wanted
from aerofn.errors import InvalidRequest
from aerofn.web.dashboard.desk import PAGE, Desk
from aerofn.web.dashboard.forms import field
from aerofn.web.dashboard.session import PATH
from aerofn.web.dashboard.site import Form, View, Went
from aerofn.web.invoke import check_name

_FEW = 10


class FunctionPages:
    """Functions and their versions."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def list(self, request: Request) -> View:
        """All functions by name, with the last hour of each."""
        after = request.query_params.get("after", "").replace("\0", "")
        glance, figures = self._desk.glances.at, self._desk.figures
        functions = await glance(("functions", after), lambda: self._desk.functions.some(after, PAGE + 1))
        names = [one.name for one in functions[:PAGE]]
        metrics, minutes, hour = await asyncio.gather(
            glance(("metrics", *names), lambda: figures.metrics(names)),
            glance(("minutes", *names), lambda: figures.minutes(names)),
            glance("hour", figures.hour),
        )
        return View("functions.html", {
            "functions": functions[:PAGE],
            "after": after,
            "more": functions[PAGE - 1].name if len(functions) > PAGE else None,
            "metrics": metrics,
            "minutes": minutes,
            "hour": hour,
            "nothing": Minutes.none(),
        })  # fmt: skip

    async def show(self, request: Request) -> View:
        """One function.

        Raises:
            NotFound: there is none of that name.
        """
        name = check_name(request.path_params["name"])
        before = _number(request.query_params.get("before"))
        function = await self._desk.functions.one(name)
        versions = await self._desk.functions.versions(name, before, _FEW + 1)
        return View("function.html", {
            "function": function,
            "versions": versions[:_FEW],
            "more": versions[_FEW - 1].version if len(versions) > _FEW else None,
            "triggers": await self._desk.triggers.of_function(name, PAGE),
            **await self._lately(function),
        })  # fmt: skip

    async def activate(self, request: Request, form: Form) -> Went:
        """Make a version the one that runs.

        Raises:
            NotFound, Conflict: there is none, or it is not ready.
        """
        name, version = check_name(request.path_params["name"]), _number(field(form, "version"))
        if version is None:
            raise InvalidRequest("the form names no version", hint="use the buttons of the function's page")
        await self._desk.functions.activate(name, version)
        return Went(f"{PATH}/functions/{name}", "activated")

    async def _lately(self, function: ListedFunction) -> dict[str, object]:
        name, glance, desk = function.name, self._desk.glances.at, self._desk
        metrics = await glance(("metrics", name), lambda: desk.figures.metrics([name]))
        minutes = await glance(("minutes", name), lambda: desk.figures.minutes([name]))
        recent = await glance(("recent", name), lambda: desk.invocations.newest(Wanted(name), _FEW))
        return {
            "metrics": metrics.get(name),
            "minutes": minutes.get(name, Minutes.none()),
            "failures": await glance(("failures", name), lambda: desk.figures.failures(name)),
            "invocations": recent,
        }


def _number(text: str | None) -> int | None:
    """A version's number; anything else is none."""
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) < 10 else None
