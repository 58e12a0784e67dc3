"""`/manage/v1/functions`: functions and their versions. For the admin role."""

import re
from typing import Annotated

import msgspec
from starlette.requests import Request

from aerofn.db.functions import Functions, ListedFunction, ListedVersion
from aerofn.errors import Conflict, InvalidRequest, NotFound
from aerofn.web.answer import Answer, json_answer
from aerofn.web.auth import Tokens
from aerofn.web.client import headers_of, read_body
from aerofn.web.invoke import check_name
from aerofn.web.operation import operation

_MOST_BYTES = 64 * 1024
_VERSIONS = list[ListedVersion]
_NUMBER = re.compile(r"[1-9][0-9]{0,8}")


# The registry's numbers are PostgreSQL integers. In JSON 3 and 3.0 are the same number.
Number = Annotated[float, msgspec.Meta(ge=1, le=(1 << 31) - 1, multiple_of=1)]


class Activation(msgspec.Struct, forbid_unknown_fields=True):
    """Which version is to run."""

    version: Number


class Activated(msgspec.Struct):
    """Which version runs now."""

    name: str
    version: int
    active: bool = True


class Manage:
    """The registry over HTTP. Every method raises InvalidToken or NotAllowed if the caller may not use it."""

    def __init__(self, functions: Functions, tokens: Tokens) -> None:
        self._functions = functions
        self._tokens = tokens

    @operation("List the functions", answers={200: list[ListedFunction]})
    async def list(self, request: Request) -> Answer:
        """Every function, by name."""
        await self._tokens.admin(request.scope)
        return json_answer(await self._functions.all())

    @operation("Show one function", answers={200: ListedFunction}, errors=[NotFound])
    async def show(self, request: Request) -> Answer:
        """One function.

        Raises:
            NotFound: there is none of that name.
        """
        return json_answer(await self._functions.one(await self._admitted(request)))

    @operation("Remove a function", answers={204: None}, errors=[NotFound, Conflict])
    async def drop(self, request: Request) -> Answer:
        """Remove a function.

        Raises:
            NotFound, Conflict: there is none, or something still starts it.
        """
        await self._functions.drop(await self._admitted(request))
        return Answer(204, b"", [])

    @operation(
        "Make a version the one that runs",
        body=Activation,
        answers={200: Activated},
        errors=[NotFound, Conflict],
    )
    async def activate(self, request: Request) -> Answer:
        """Make a version the one that runs: `{"version": 3}`.

        Raises:
            InvalidRequest: the body names no version.
            NotFound, Conflict: there is none, or it is not ready.
        """
        name = await self._admitted(request)
        body = await read_body(request.receive, headers_of(request.scope), _MOST_BYTES)
        try:
            number = int(msgspec.json.decode(body, type=Activation).version)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise InvalidRequest(
                "the body names no version", detail=str(error), hint='send {"version": 3}'
            ) from None
        await self._functions.activate(name, number)
        return json_answer(Activated(name, number))

    @operation("List a function's versions", answers={200: _VERSIONS}, errors=[NotFound])
    async def versions(self, request: Request) -> Answer:
        """A function's versions, newest first.

        Raises:
            NotFound: there is no such function.
        """
        return json_answer(await self._functions.versions(await self._admitted(request)))

    @operation("Remove a version", answers={204: None}, errors=[NotFound, Conflict])
    async def drop_version(self, request: Request) -> Answer:
        """Remove a version.

        Raises:
            NotFound, Conflict: there is none, or it is the one that runs.
        """
        name, number = await self._admitted(request), request.path_params["version"]
        if not _NUMBER.fullmatch(number):
            raise NotFound(f"function {name} has no version {number!r}")
        await self._functions.drop_version(name, int(number))
        return Answer(204, b"", [])

    async def _admitted(self, request: Request) -> str:
        await self._tokens.admin(request.scope)
        return check_name(request.path_params["name"])
