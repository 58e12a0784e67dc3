"""Deploys and rollbacks under traffic: nobody may notice."""

import itertools

import aiohttp

from bench.soak.client import Reply
from bench.soak.ledger import Answer
from bench.soak.postgres import AWAY, Q
from bench.soak.site import Site

TIMEOUT_MS = 5000
_KEPT = 5
_LONGEST_S = 100.0  # the service itself waits a minute for it to be compiled
_marks = itertools.count(1)


def another(wasm: bytes) -> bytes:
    """The same component with other bytes, so that it has to be compiled anew: a custom section more."""
    mark = f"soak {next(_marks)}".encode()
    name = b"soak"
    body = bytes([len(name)]) + name + mark
    return wasm + b"\x00" + bytes([len(body)]) + body


class Deploys:
    """Of the ledger function, and of what is none.

    Args:
        host: of the far side, which the function is granted.
    """

    def __init__(self, wasm: bytes, host: str) -> None:
        self._wasm = wasm
        self._host = host
        self.done = 0
        self.rolled_back = 0

    async def once(self, site: Site) -> None:
        """A new version, which may be left again at once; now and then one that does not compile."""
        if site.draw.random() < 0.2:
            await self._send(site, b"\x00asm\x0d\x00\x01\x00", expect=(422,))
            return
        reply = await self._send(site, another(self._wasm), expect=(201,))
        if reply.status != 201:
            return
        self.done += 1
        if site.draw.random() < 0.5:
            await self._roll_back(site)
        await self._drop_old(site)

    async def _send(self, site: Site, wasm: bytes, expect: tuple[int, ...]) -> Reply:
        form = aiohttp.FormData()
        form.add_field("name", "ledger")
        form.add_field("wasm", wasm, filename="ledger.wasm")
        form.add_field("hosts", self._host)
        form.add_field("timeout_ms", str(TIMEOUT_MS))
        return await site.client.send(
            "deploy", "/functions/v1/deploy", data=form, expect=expect, longest_s=_LONGEST_S
        )

    async def _roll_back(self, site: Site) -> None:
        ready = await self._versions(site, Q.other_ready_versions)
        if ready:
            body = {"version": site.draw.choice(ready)}
            path = "/manage/v1/functions/ledger/activate"
            reply = await site.client.send("rollback", path, body=body)
            self.rolled_back += reply.status == 200

    async def _drop_old(self, site: Site) -> None:
        for version in await self._versions(site, Q.old_versions, _KEPT):
            path = f"/manage/v1/functions/ledger/versions/{version}"
            await site.client.send("drop", path, method="DELETE", expect=(200, 204, 404))

    async def _versions(self, site: Site, statement: str, *arguments: int) -> list[int]:
        began = site.now()
        try:
            return [row["version"] for row in await site.postgres.fetch(statement, *arguments)]
        except AWAY as error:
            site.ledger.answers.append(Answer("versions", began, site.now(), "postgres", str(error)[:120]))
            return []
