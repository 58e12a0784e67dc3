"""The service keeps to its OpenAPI document: schemathesis calls every operation, all checks on, and finds nothing."""

import asyncio
import sys
from pathlib import Path

import pytest

from .http_kit import SECRET, bearer, deploy, served

CONFIG = Path(__file__).with_name("schemathesis.toml")


@pytest.mark.timeout(400)
async def test_schemathesis_finds_nothing(node_of, conn, probe, tmp_path):
    options = {"jwt_secret": SECRET, "port": 0, "forgery_rate": "1000000/second"}
    async with node_of(**options) as node, served(node) as client:
        assert (await deploy(client, "probe", probe)).status_code == 201
        authorization = bearer("service_role", sub="dev")["authorization"]
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run", "--checks", "all",
            "-H", f"Authorization: {authorization}", f"{client.base_url}/openapi.json",
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, cwd=tmp_path,
        )  # fmt: skip
        said, _ = await asyncio.wait_for(child.communicate(), 360)
        assert child.returncode == 0, said.decode()
        assert len([r for r in node.records.all if r.status == "success"]) > 20, said.decode()
