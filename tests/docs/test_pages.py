"""The commands of the pages for HTTP and of the hello example, against a service; JavaScript that parses."""

import json
import shutil
import subprocess

import jwt
import pytest

from .blocks import blocks
from .reader import ROOT, Reader, until

EXAMPLE = ROOT / "examples" / "hello"
with_node = pytest.mark.skipif(shutil.which("node") is None, reason="JavaScript is built with Node")


@with_node
async def test_the_hello_example_and_the_http_page(empty_database, tmp_path):
    reader = Reader(tmp_path, empty_database.url)
    secret = reader.environment["AEROFN_JWT_SECRET"]
    token = jwt.encode({"role": "service_role", "sub": "ada"}, secret)
    reader.environment |= {"TOKEN": token, "SERVICE_ROLE_TOKEN": token}
    shutil.copy(EXAMPLE / "hello.js", tmp_path)
    async with reader.background("aerofn serve"):
        conn = await empty_database.connect()
        await until(conn, "to_regclass('aerofn_internal.nodes') IS NOT NULL")
        await until(conn, "EXISTS (SELECT FROM aerofn_internal.nodes)")
        await reader.run(
            "curl -sf --retry 60 --retry-delay 1 --retry-connrefused http://127.0.0.1:8787/readyz"
        )
        own, answer = blocks(EXAMPLE / "README.md")
        said = await reader.run(own.text)
        assert '"status":"ready"' in said
        greeting = json.loads(said[said.index('{"message"') :])
        assert greeting | {"at": ""} == json.loads(answer.text) | {"at": ""}
        invoke, once, later, deploy, _client = blocks(ROOT / "docs" / "http-api.md")
        assert json.loads(await reader.run(invoke.text))["caller"] == {"role": "service_role", "sub": "ada"}
        assert await reader.run(once.text) == await reader.run(once.text)
        assert json.loads(await reader.run(later.text))["caller"] == {"role": "service_role", "sub": "ada"}
        assert json.loads(await reader.run(deploy.text))["version"] == 1


@with_node
@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.stem)
def test_its_javascript_parses(page, tmp_path):
    for number, block in enumerate(blocks(page)):
        if block.language == "js":
            file = tmp_path / f"{number}.mjs"
            file.write_text(block.text)
            done = subprocess.run(["node", "--check", file], capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{block.text}\n{done.stderr}"
