"""/openapi.json: a valid document in which every route is, and nothing that is none."""

import re

import httpx
import pytest
from openapi_spec_validator import validate
from starlette.requests import Request
from starlette.routing import Route
from web_kit import Web

from aerofn.web.answer import Answer
from aerofn.web.endpoint import Endpoint
from aerofn.web.openapi import document


async def test_the_document_is_valid_and_has_every_route(web: Web, client: httpx.AsyncClient) -> None:
    found = (await client.get("/openapi.json")).json()
    validate(found)
    routes = [route for route in web.application().routes if isinstance(route, Route)]
    assert set(found["paths"]) == {re.sub(r":\w+}", "}", route.path) for route in routes}
    assert len(routes) == len(web.application().routes) > 8


async def test_every_method_is_in_it(client: httpx.AsyncClient) -> None:
    paths = (await client.get("/openapi.json")).json()["paths"]
    for path, methods in paths.items():
        answer = await client.request("TRACE", re.sub(r"{\w+}", "x", path))
        assert answer.status_code == 405
        allowed = set(answer.headers["allow"].split(", ")) - {"HEAD", "OPTIONS"}
        assert allowed == {method.upper() for method in methods}, path


def test_every_operation_says_what_it_may_end_in() -> None:
    found = document(Web().application().routes)  # type: ignore[arg-type]
    ids = [one["operationId"] for methods in found["paths"].values() for one in methods.values()]
    assert len(ids) == len(set(ids))
    for path, methods in found["paths"].items():
        for one in methods.values():
            assert one["summary"]
            assert "500" in one["responses"]
            signed = path.startswith("/hooks/")  # by the sender: no token of ours
            assert ("401" in one["responses"]) == (bool(one["security"]) or signed), path


def test_an_endpoint_that_says_nothing_cannot_be_made() -> None:
    async def silent(_: Request) -> Answer:
        return Answer(200, b"", [])

    with pytest.raises(TypeError, match="@operation"):
        Endpoint(GET=silent)
