"""The demo's HTTP calls: the curl command that people see is the one that runs."""

import asyncio
import json
import shutil
import urllib.error
import urllib.request
from typing import NamedTuple

from aerofn.cli.place import Place
from aerofn.cli.tokens import token
from aerofn.errors import AeroFnError

_LONGEST_S = 30.0


class Call(NamedTuple):
    """A POST of JSON to a function, as user `sub`, or without a token."""

    function: str
    body: dict[str, int]
    sub: str | None = None

    @property
    def curl(self) -> str:
        """As one types it, once `.aerofn/env` has been sourced."""
        lines = [f"curl $AEROFN_URL/functions/v1/{self.function}"]
        if self.sub is not None:
            lines.append(f'  -H "Authorization: Bearer $(aerofn token --sub {self.sub})"')
        lines.append(f"  -H 'Content-Type: application/json' -d '{json.dumps(self.body)}'")
        return " \\\n".join(lines)

    async def answer(self, place: Place, url: str) -> str:
        """Run the command and give what it printed; without curl, make the same request.

        Raises:
            AeroFnError: the command failed.
        """
        if shutil.which("curl") is None:
            return await asyncio.to_thread(self._request, place, url)
        command = f". {place.environment.absolute()}\n{self.curl}"
        shell = await asyncio.create_subprocess_exec(
            "sh", "-c", command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        try:
            async with asyncio.timeout(_LONGEST_S):
                out, err = await shell.communicate()
        finally:
            if shell.returncode is None:
                shell.kill()
        if shell.returncode != 0:
            raise AeroFnError("the curl command failed", detail=err.decode(errors="replace"))
        return out.decode().strip()

    def _request(self, place: Place, url: str) -> str:
        headers = {"Content-Type": "application/json"}
        if self.sub is not None:
            environment = {"AEROFN_JWT_SECRET": place.settings().jwt_secret or ""}
            headers["Authorization"] = f"Bearer {token(environment, 'authenticated', self.sub, '1h')}"
        target = f"{url}/functions/v1/{self.function}"
        request = urllib.request.Request(target, json.dumps(self.body).encode(), headers)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=_LONGEST_S) as response:  # noqa: S310
                return str(response.read().decode())
        except urllib.error.HTTPError as error:
            return error.read().decode()
