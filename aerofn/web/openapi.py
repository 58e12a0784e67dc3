"""`/openapi.json`: the document that the routes make of what their endpoints say of themselves."""

import re
from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.routing import Route

from aerofn import __version__
from aerofn.errors import (
    AeroFnError,
    Busy,
    DatabaseUnavailable,
    InvalidRequest,
    InvalidToken,
    KeysUnavailable,
    NotAllowed,
    PayloadTooLarge,
    RateLimited,
)
from aerofn.web.answer import JSON, Answer
from aerofn.web.operation import FUNCTION_NAME, JSON_TYPE, Content, Operation, operation

_PATH_PARAMETER = re.compile(r"\{(\w+)(?::path)?\}")
_PATH_SCHEMAS: dict[str, dict[str, Any]] = {
    "name": {"type": "string", "pattern": FUNCTION_NAME},
    "secret": {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]{0,127}$"},
    "id": {"type": "string", "format": "uuid"},
    "path": {"type": "string"},
    "event": {"type": "integer", "minimum": 1},
}
_WITH_TOKEN = (InvalidToken, NotAllowed, KeysUnavailable, RateLimited)
_ANYWHERE = (DatabaseUnavailable, Busy)
_WITH_BODY = (InvalidRequest, PayloadTooLarge)
# Told by the server itself, to whoever sends too slowly or too much.
_BY_SERVER = (408, 431)


class Error(msgspec.Struct):
    """Every error has this shape; docs/errors.md lists the codes."""

    code: str
    message: str
    detail: str | None
    hint: str | None


class Document:
    """The document, made when it is first asked for."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes = routes
        self._text: bytes | None = None

    @operation("This document", answers={200: Content({JSON_TYPE: {"type": "object"}})}, who="anybody")
    async def show(self, request: Request) -> Answer:
        """OpenAPI 3.1."""
        if self._text is None:
            self._text = msgspec.json.encode(document(self._routes))
        return Answer(200, self._text, [JSON])


def document(routes: Iterable[Route]) -> dict[str, Any]:
    """OpenAPI 3.1 of these routes."""
    operations = list(_operations(routes))
    schemas = _Schemas(one for _, _, one in operations)
    paths: dict[str, dict[str, Any]] = {}
    for path, method, one in operations:
        paths.setdefault(path, {})[method.lower()] = _described(path, method, one, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "AeroFn", "version": __version__, "license": {"name": "Apache-2.0"}},
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "headers": {
                "InvocationId": _header("the invocation's record has this id", format="uuid"),
                "RetryAfter": _header("seconds to wait", type="integer", minimum=1),
            },
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "apikey": {"type": "apiKey", "in": "header", "name": "apikey"},
            },
        },
    }


def _operations(routes: Iterable[Route]) -> Iterator[tuple[str, str, Operation]]:
    for route in routes:
        path = _PATH_PARAMETER.sub(r"{\1}", route.path)
        operations: dict[str, Operation] = getattr(route.endpoint, "operations")  # noqa: B009
        for method, one in operations.items():
            yield path, method, one


class _Schemas:
    """The types' schemas, named ones under `components`."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        self._types: list[Any] = [Error]
        for one in operations:
            for found in (*one.answers.values(), one.body, one.query):
                if found is not None and not isinstance(found, Content) and found not in self._types:
                    self._types.append(found)
        made, self.components = msgspec.json.schema_components(
            self._types, ref_template="#/components/schemas/{name}"
        )
        self._made = list(made)

    def of(self, kind: Any) -> dict[str, Any]:
        """A type's schema, or a reference to it."""
        return self._made[self._types.index(kind)]

    def fields(self, struct: Any) -> Iterator[tuple[str, dict[str, Any], bool]]:
        """A struct's fields: name, schema, and whether they must be there."""
        made = self.components[self.of(struct)["$ref"].rpartition("/")[2]]
        for name, schema in made["properties"].items():
            yield name, _without_null(schema), name in made.get("required", ())

    def content(self, kind: Any) -> dict[str, Any]:
        """A body's `content`."""
        if isinstance(kind, Content):
            return {media_type: {"schema": schema} for media_type, schema in kind.schemas.items()}
        return {JSON_TYPE: {"schema": self.of(kind)}}


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A query's parameter is there or not; it is never null."""
    choices = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
    return choices[0] if len(choices) == 1 else schema


def _described(path: str, method: str, one: Operation, schemas: _Schemas) -> dict[str, Any]:
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": _PATH_SCHEMAS.get(name, {"type": "string"})}
        for name in _PATH_PARAMETER.findall(path)
    ]
    if one.query is not None:
        parameters += [
            {"name": name, "in": "query", "required": required, "schema": schema}
            for name, schema, required in schemas.fields(one.query)
        ]
    parameters += [{"name": name, "in": "header", "schema": dict(s)} for name, s in one.headers.items()]
    described: dict[str, Any] = {
        "operationId": f"{method.lower()}{re.sub(r'[^A-Za-z0-9]+', '_', path).rstrip('_')}",
        "summary": one.summary,
        "parameters": parameters,
        "responses": _answers(one, schemas),
        "security": _SECURITY[one.who],
    }
    if one.description:
        described["description"] = one.description
    if one.body is not None:
        described["requestBody"] = {"content": schemas.content(one.body), "required": one.who == "admin"}
    return described


_SECURITY: dict[str, list[dict[str, list[str]]]] = {
    "admin": [{"token": []}, {"apikey": []}],
    "caller": [{}, {"token": []}, {"apikey": []}],
    "anybody": [],
}


def _answers(one: Operation, schemas: _Schemas) -> dict[str, Any]:
    answers: dict[str, Any] = {}
    for status in sorted(_error_statuses(one)):
        answers[str(status)] = _answer(status, Error, schemas)
    for status, kind in one.answers.items():
        answers[str(status)] = _answer(status, kind, schemas)
    return dict(sorted(answers.items()))


def _answer(status: int, kind: Any, schemas: _Schemas) -> dict[str, Any]:
    headers = {} if status in _BY_SERVER else {"x-aerofn-invocation-id": _ref("headers", "InvocationId")}
    if status in (202, 429, 503):
        headers["retry-after"] = _ref("headers", "RetryAfter")
    answer: dict[str, Any] = {"description": HTTPStatus(status).phrase if status != 499 else "Cancelled"}
    if headers:
        answer["headers"] = headers
    if kind is not None:
        answer["content"] = schemas.content(kind)
    return answer


def _error_statuses(one: Operation) -> set[int]:
    kinds: list[type[AeroFnError]] = [*one.errors, *_ANYWHERE, AeroFnError]
    if one.who != "anybody":
        kinds += _WITH_TOKEN
    if one.body is not None:
        kinds += _WITH_BODY
    return {kind.status for kind in kinds} | set(_BY_SERVER)


def _ref(kind: str, name: str) -> dict[str, str]:
    return {"$ref": f"#/components/{kind}/{name}"}


def _header(description: str, type: str = "string", **schema: Any) -> Mapping[str, Any]:  # noqa: A002
    return {"description": description, "schema": {"type": type, **schema}}
