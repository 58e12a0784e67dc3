"""`POST /functions/v1/deploy`: a component and its options, as multipart form data, become a version."""

from collections.abc import AsyncGenerator
from typing import Any

import msgspec
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.types import Receive

from aerofn.db.functions import Functions, Registration, VersionStatus
from aerofn.errors import DeployError, InvalidRequest
from aerofn.settings import Settings
from aerofn.web.answer import Answer, json_answer
from aerofn.web.auth import Tokens
from aerofn.web.client import check_declared_length, headers_of, read_chunk, too_large
from aerofn.web.operation import FUNCTION_NAME, Content, operation

_OPTIONS_BYTES = 64 * 1024
_LONGEST_WAIT_S = 600.0
_LISTS = frozenset({"env", "hosts", "roles"})
_LIST = {"type": "array", "items": {"type": "string"}}
# As docs/http-api.md has it; what a form says is checked below, where each field is read.
FORM: dict[str, Any] = {
    "type": "object",
    "required": ["name", "wasm"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "pattern": FUNCTION_NAME},
        "wasm": {"type": "string", "format": "binary", "description": "a WebAssembly component"},
        "timeout_ms": {"type": "integer", "minimum": 1, "maximum": 900_000},
        "memory_mb": {"type": "integer", "minimum": 1, "maximum": 4096},
        "max_concurrency": {"type": "integer", "minimum": 1, "maximum": 10_000},
        "env": _LIST,
        "hosts": _LIST,
        "roles": _LIST,
        "run_as": {"type": "string"},
        "rate_limit": {"type": "string", "description": "such as 100/minute, or none"},
        "activate": {"type": "boolean"},
        "wait": {"type": "integer", "minimum": 0, "maximum": 600},
    },
}
_FIELDS = frozenset(FORM["properties"])
_SWITCH = {"true": True, "1": True, "false": False, "0": False}
_CURL = 'curl -H "Authorization: Bearer $TOKEN" -F name=hello -F wasm=@hello.wasm …/functions/v1/deploy'


class Deployed(msgspec.Struct):
    """A version that was made, or that was there already."""

    name: str
    version: int
    status: str
    digest: str
    active: bool


class Deploy:
    """Registers versions and waits until they are compiled."""

    def __init__(self, functions: Functions, tokens: Tokens, settings: Settings) -> None:
        self._functions = functions
        self._tokens = tokens
        self._most = (settings.max_component_mb << 20) + _OPTIONS_BYTES

    @operation(
        "Deploy a version of a function",
        body=Content({"multipart/form-data": FORM}),
        answers={201: Deployed, 202: Deployed},
        errors=[InvalidRequest, DeployError],
    )
    async def post(self, request: Request) -> Answer:
        """201 once it is ready, 202 while it still compiles.

        Raises:
            InvalidToken, NotAllowed: the caller may not deploy.
            InvalidRequest, PayloadTooLarge: the form is not as it should be.
            DeployError: the component does not compile.
        """
        headers = headers_of(request.scope)
        caller = await self._tokens.admin(request.scope)
        check_declared_length(headers, self._most)
        form = await _form(request, self._most)
        try:
            registration, wait = await _registration(form), _wait(form)
        finally:
            await form.close()
        number = await self._functions.register(registration, caller.subject or caller.role)
        return _answer(await self._functions.settled(registration.name, number, wait))


def _answer(version: VersionStatus) -> Answer:
    if version.status == "failed":
        problem = version.error or {}
        raise DeployError(
            problem.get("message", "the component could not be compiled"),
            detail=problem.get("detail"),
            hint=problem.get("hint"),
            code=problem.get("code"),
        )
    body = Deployed(
        version.name, version.version, version.status, version.digest, active=bool(version.active)
    )
    return json_answer(body, 202 if version.status == "compiling" else 201)


async def _form(request: Request, most: int) -> FormData:
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise InvalidRequest("a deploy is multipart/form-data", hint=_CURL)
    stream = _limited(request.receive, most)
    try:
        form = await MultiPartParser(request.headers, stream, max_files=1, max_fields=200).parse()
    except MultiPartException as error:
        raise InvalidRequest("the form cannot be read", detail=error.message, hint=_CURL) from None
    unknown = sorted(set(form) - _FIELDS)
    if unknown:
        await form.close()
        raise InvalidRequest(
            f"{unknown[0]!r} is no option of a deploy", hint="options: " + ", ".join(sorted(_FIELDS))
        )
    return form


async def _limited(receive: Receive, most: int) -> AsyncGenerator[bytes, None]:
    size, more = 0, True
    while more:
        chunk, more = await read_chunk(receive)
        size += len(chunk)
        if size > most:
            raise too_large(most)
        yield chunk


async def _registration(form: FormData) -> Registration:
    wasm = form.get("wasm")
    if not isinstance(wasm, UploadFile):
        raise InvalidRequest("the form has no file named wasm", hint=_CURL)
    lists = {name: _list(form, name) for name in _LISTS}
    return Registration(
        name=_text(form, "name") or "",
        wasm=await wasm.read(),
        timeout_ms=_integer(form, "timeout_ms"),
        memory_mb=_integer(form, "memory_mb"),
        env=lists["env"],
        hosts=lists["hosts"],
        roles=lists["roles"] or None,
        run_as=_text(form, "run_as"),
        rate_limit=_text(form, "rate_limit"),
        activate=_switch(form, "activate", default=True),
        max_concurrency=_integer(form, "max_concurrency"),
    )


def _text(form: FormData, name: str) -> str | None:
    """A field's text without the spaces around it; None if it is empty or not there."""
    values = form.getlist(name)
    if len(values) > 1:
        raise InvalidRequest(f"{name} is given {len(values)} times", hint="give it once")
    if not values:
        return None
    return _checked(name, values[0]).strip() or None


def _list(form: FormData, name: str) -> tuple[str, ...]:
    """A field given once with commas, or several times."""
    parts = ",".join(_checked(name, value) for value in form.getlist(name)).split(",")
    return tuple(part.strip() for part in parts if part.strip())


def _checked(name: str, value: Any) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise InvalidRequest(f"{name} is no text", hint=f"write -F {name}=…, without @")
    return value


def _integer(form: FormData, name: str) -> int | None:
    text = _text(form, name)
    if text is None:
        return None
    if not text.isascii() or not text.isdecimal() or len(text) > 9:
        raise InvalidRequest(f"{name} is {text!r}, no whole number", hint="leave it out for the default")
    return int(text)


def _switch(form: FormData, name: str, *, default: bool) -> bool:
    text = _text(form, name)
    if text is None:
        return default
    if text.lower() not in _SWITCH:
        raise InvalidRequest(f"{name} is {text!r}", hint="write true or false")
    return _SWITCH[text.lower()]


def _wait(form: FormData) -> float:
    seconds = _integer(form, "wait")
    if seconds is not None and seconds > _LONGEST_WAIT_S:
        raise InvalidRequest(f"wait is {seconds} seconds", hint=f"wait at most {_LONGEST_WAIT_S:.0f}")
    return 60.0 if seconds is None else float(seconds)
