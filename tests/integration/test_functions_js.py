"""Supabase's own client, `@supabase/functions-js` in Node, invokes our functions unchanged."""

import asyncio
import json
import os
import shutil
from pathlib import Path

import pytest

from aerofn.build import build

from .http_kit import SECRET, deploy, served, token

HERE = Path(__file__).parent / "functions_js"
pytestmark = pytest.mark.skipif(shutil.which("npm") is None, reason="the client is an npm package")


async def run(*command, cwd, **environment) -> str:
    child = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, env={**os.environ, **environment}, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(child.communicate(), 100)
    assert child.returncode == 0, err.decode()
    return out.decode()


@pytest.fixture(scope="module")
async def project(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("functions_js")
    shutil.copytree(HERE, folder, dirs_exist_ok=True)
    await run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=folder)
    await asyncio.to_thread(build, folder / "echo.js", folder / "echo.wasm")
    return folder


async def test_every_call_that_applications_make(node_of, project):
    async with node_of(jwt_secret=SECRET, port=0) as node, served(node) as client:
        assert (await deploy(client, "echo", (project / "echo.wasm").read_bytes())).status_code == 201
        said = await run(
            "node", "calls.mjs", cwd=project, URL=f"{client.base_url}/functions/v1", TOKEN=token(sub="ada")
        )
        seen = json.loads(said)
        aborted = await node.records.until(1, lambda record: record.status == "cancelled")
    echoed = seen["json"]["data"]
    assert echoed["body"] == {"name": "Ada", "list": [1, None, "é"]}
    assert echoed["caller"] == {"role": "authenticated", "sub": "ada"}
    assert echoed["headers"]["x-client-info"] == "supabase-js-node/2.0"
    assert not {"authorization", "apikey"} & set(echoed["headers"])
    assert seen["nothing"]["data"]["body"] is None
    assert seen["string"]["data"]["body"] == "plain"
    assert (seen["blob"]["data"]["body"], seen["blob"]["data"]["base64"]) == ("AP8=", True)
    assert seen["buffer"]["data"]["body"] == "AQI="
    fields = {"a": "1", "file": {"file": "notes.txt", "text": "content"}}
    assert seen["form"]["data"] == {"fields": fields}
    assert seen["text"]["data"] == "just text"
    assert seen["binary"]["data"] == {"type": "application/octet-stream", "bytes": [0, 1, 2, 255]}
    assert seen["response"]["data"] == {"made": "by Response"}
    assert (seen["get"]["data"]["path"], seen["get"]["data"]["query"]) == ("/a/b", {"x": "1"})
    methods = [seen[name]["data"]["method"] for name in ("get", "put", "patch", "delete")]
    assert methods == ["GET", "PUT", "PATCH", "DELETE"]
    assert seen["headers"]["data"]["headers"]["my-custom-header"] == "value"
    assert seen["headers"]["data"]["body"] == {}
    assert seen["region"]["data"]["headers"]["x-region"] == "us-east-1"
    assert seen["once"]["data"]["body"] == {"n": 1}
    failed(seen["refused"], 422, {"problem": "no name"}, why="because")
    failed(
        seen["thrown"],
        500,
        {"code": "function_error", "message": "thrown on purpose", "detail": "RangeError"},
    )
    failed(seen["missing"], 404, {"code": "function_not_found"})
    failed(seen["unknown"], 401, {"code": "invalid_token"})
    assert seen["aborted"]["error"] == "FunctionsFetchError"
    assert aborted[0].function == "echo"


def failed(seen, status, body, *, kind="FunctionsHttpError", why=None) -> None:
    assert (seen["error"], seen["answered"]["status"], seen["answered"]["why"]) == (kind, status, why)
    assert body.items() <= seen["answered"]["body"].items()


async def test_a_node_that_cannot_run_it_is_a_relay_error(node_of, project):
    async with (
        node_of(jwt_secret=SECRET, port=0, jwks_url="http://127.0.0.1:9/") as node,
        served(node) as client,
    ):
        assert (await deploy(client, "echo", (project / "echo.wasm").read_bytes())).status_code == 201
        es256 = "eyJhbGciOiJFUzI1NiIsImtpZCI6ImEifQ.eyJyb2xlIjoiYW5vbiJ9.AAAA"  # its provider is away
        answer = await client.post("/functions/v1/echo", headers={"authorization": f"Bearer {es256}"})
        assert (answer.status_code, answer.json()["code"]) == (503, "keys_unavailable")
        assert answer.headers["x-relay-error"] == "true"  # what the client makes FunctionsRelayError of
