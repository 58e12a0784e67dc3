"""The connections that functions' requests go out on: a set for each function, so that none meets another's.

Beside connections nothing is kept from one request to the next: no cookies, no credentials, no proxy of the
service's environment.
"""

import asyncio
import socket
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from aerofn import __version__
from aerofn.bridge.egress.addresses import Addresses
from aerofn.bridge.egress.request import Request
from aerofn.bridge.egress.warm import WarmConnections

Session = aiohttp.ClientSession
_IDLE_S = 15.0  # aiohttp may take twice as long to notice
_KEPT = 256  # functions whose connections are kept
_LOOK_UPS = 16  # names that are looked up at a time
_LOOK_UPS_OF_ONE = 4


class Outlet:
    """One function's connections: those that may be used again, and those that close after their request."""

    def __init__(self, function: int, warm: WarmConnections, open_session: Callable[[bool], Session]) -> None:
        self._function = function
        self._warm = warm
        self._lasting = open_session(True)
        self._passing = open_session(False)
        self.users = 0

    @asynccontextmanager
    async def answer(self, request: Request) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer to a request, redirect or not; its body may be read in the block."""
        where = self._function, request.url.origin()
        lasts = self._warm.begin(where)
        try:
            async with (self._lasting if lasts else self._passing).request(
                request.method, request.url, headers=request.headers, data=request.body, allow_redirects=False
            ) as response:
                yield response
        finally:
            if lasts:
                self._warm.end(where)

    async def close(self) -> None:
        """Close all connections."""
        await self._lasting.close()
        await self._passing.close()


class Outlets:
    """The outlets of the functions of this node.

    Args:
        per_function: requests of one function that are under way at the same time.
        per_node: those of all; and the connections that may be idle.
    """

    def __init__(self, addresses: Addresses, per_function: int, per_node: int) -> None:
        self._addresses = addresses
        self._per_function = per_function
        self._places = asyncio.Semaphore(per_node)
        self._warm = WarmConnections(per_node, 2 * _IDLE_S)
        self._outlets: OrderedDict[int, tuple[Outlet, asyncio.Semaphore]] = OrderedDict()
        # getaddrinfo of a hostile name may take long: not in the loop's own threads.
        self._threads = ThreadPoolExecutor(_LOOK_UPS, thread_name_prefix="aerofn-names")

    @asynccontextmanager
    async def place(self, function: int) -> AsyncIterator[Outlet]:
        """The function's outlet, once it has a place of its own, and there is one on this node."""
        outlet, places = self._outlet(function)
        outlet.users += 1
        try:
            async with places, self._places:
                yield outlet
        finally:
            outlet.users -= 1
            await self._close_oldest()

    async def close(self) -> None:
        """Close all connections."""
        for outlet, _ in self._outlets.values():
            await outlet.close()
        self._outlets.clear()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _outlet(self, function: int) -> tuple[Outlet, asyncio.Semaphore]:
        found = self._outlets.get(function)
        if found is None:
            resolver = _Resolver(self._threads)
            outlet = Outlet(function, self._warm, lambda lasting: self._session(resolver, lasting))
            found = self._outlets[function] = outlet, asyncio.Semaphore(self._per_function)
        self._outlets.move_to_end(function)
        return found

    async def _close_oldest(self) -> None:
        if len(self._outlets) > _KEPT:
            for function, (outlet, _) in self._outlets.items():
                if outlet.users == 0:
                    del self._outlets[function]
                    await outlet.close()
                    return

    def _session(self, resolver: "_Resolver", lasting: bool) -> Session:
        connector = aiohttp.TCPConnector(
            limit=0,  # the places are the limit
            resolver=resolver,
            socket_factory=self._addresses.socket_for,
            **({"keepalive_timeout": _IDLE_S} if lasting else {"force_close": True}),
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            headers={"User-Agent": f"aerofn/{__version__}", "Accept-Encoding": "gzip, deflate"},
            skip_auto_headers=("Content-Type",),
        )


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
