"""A function that asks servers of the test's own."""

import asyncio

import pytest

from aerofn.bridge.egress.egress import Answer
from aerofn.bridge.egress.grants import Grants
from aerofn.bridge.egress.request import Sent
from aerofn.errors import FetchError


class Out:
    """A function that was granted the hosts of a server."""

    def __init__(self, egress, far, *grants):
        self.egress, self.far = egress, far
        self.grants = Grants(grants or (f"127.0.0.1:{far.port}",))

    async def __call__(self, path="/", function=1, host="127.0.0.1", **sent) -> Answer:
        url = path if path.startswith("http") else self.far.url(path, host)
        async with asyncio.timeout(30):
            return await self.egress.fetch(function, self.grants, Sent(url=url, **sent))

    async def refused(self, path="/", **sent) -> str:
        with pytest.raises(FetchError) as caught:
            await self(path, **sent)
        assert caught.value.message
        return caught.value.code
