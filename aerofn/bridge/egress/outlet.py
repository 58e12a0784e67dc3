"""The connections that functions' requests go out on: a set for each function, so that none meets another's.

Beside connections nothing is kept from one request to the next: no cookies, no credentials, no proxy of the
service's environment.
"""

import asyncio
import socket
from collections import OrderedDict
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from aerofn import __version__
from aerofn.bridge.egress.addresses import Addresses

_IDLE_S = 15.0
_KEPT = 256  # functions whose connections are kept
_LOOK_UPS = 16  # names that are looked up at a time
_LOOK_UPS_OF_ONE = 4


class Outlets:
    """The sessions of the functions of this node.

    Args:
        connections: at most, for each function and for the node.
    """

    def __init__(self, addresses: Addresses, per_function: int, per_node: int) -> None:
        self._addresses = addresses
        self._per_function = per_function
        self._places = asyncio.Semaphore(per_node)
        self._sessions: OrderedDict[int, _Outlet] = OrderedDict()
        # getaddrinfo of a hostile name may take long: not in the loop's own threads.
        self._threads = ThreadPoolExecutor(_LOOK_UPS, thread_name_prefix="aerofn-names")

    @asynccontextmanager
    async def session(self, function: int) -> AsyncIterator[aiohttp.ClientSession]:
        """The function's session, once it has a place of its own, and there is one on this node."""
        outlet = self._outlet(function)
        outlet.users += 1
        try:
            async with outlet.places, self._places:
                yield outlet.session
        finally:
            outlet.users -= 1
            await self._close_oldest()

    async def close(self) -> None:
        """Close all connections."""
        for outlet in self._sessions.values():
            await outlet.session.close()
        self._sessions.clear()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _outlet(self, function: int) -> "_Outlet":
        outlet = self._sessions.get(function)
        if outlet is None:
            outlet = self._sessions[function] = _Outlet(self._open(), self._per_function)
        self._sessions.move_to_end(function)
        return outlet

    async def _close_oldest(self) -> None:
        if len(self._sessions) > _KEPT:
            for function, outlet in self._sessions.items():
                if outlet.users == 0:
                    del self._sessions[function]
                    await outlet.session.close()
                    return

    def _open(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=0,  # the places are the limit
            resolver=_Resolver(self._threads),
            socket_factory=self._addresses.socket_for,
            keepalive_timeout=_IDLE_S,
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            headers={"User-Agent": f"aerofn/{__version__}", "Accept-Encoding": "gzip, deflate"},
            skip_auto_headers=("Content-Type",),
        )


class _Outlet:
    def __init__(self, session: aiohttp.ClientSession, places: int) -> None:
        self.session = session
        self.places = asyncio.Semaphore(places)
        self.users = 0


class _Resolver(AbstractResolver):
    """getaddrinfo in threads of its own; a few at a time for each function, however long they take."""

    def __init__(self, threads: ThreadPoolExecutor) -> None:
        self._threads = threads
        self._turns = asyncio.Semaphore(_LOOK_UPS_OF_ONE)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        await self._turns.acquire()
        looking = asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)
        )
        looking.add_done_callback(self._looked)
        found = await asyncio.shield(looking)  # a thread cannot be stopped: its turn lasts until it ends
        return [
            ResolveResult(
                hostname=host,
                host=str(where[0]),
                port=port,
                family=kind,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, protocol, _, where in found
        ]

    def _looked(self, looking: asyncio.Future[Any]) -> None:
        self._turns.release()
        if not looking.cancelled():
            looking.exception()  # whoever asked may be gone

    async def close(self) -> None:
        """The threads are the node's."""
