"""The public keys of an identity provider, from its JWKS URL: kept, renewed, and never fetched on a client's whim.

A token names its key (`kid`), and anybody can name one that does not exist. So an unknown name asks the provider
again, but at most once in ten seconds, whoever asks how often; and what was fetched stays good while the provider
is away, for a day.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import aiohttp
import jwt
import msgspec
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from aerofn.errors import KeysUnavailable
from aerofn.web.keys import Key

log = structlog.get_logger(__name__)
_FRESH_S = 600.0
_GOOD_S = 86_400.0
_PAUSE_S = 10.0
_LARGEST = 1 << 20
_TIMEOUT = aiohttp.ClientTimeout(total=5)
_MOST_KEYS = 100
_LEAST_RSA_BITS = 2048
# By kind of key, never by what a token or the key set says: a public key is no HMAC secret.
_ALGORITHMS = {("RSA", "None"): "RS256", ("EC", "P-256"): "ES256", ("OKP", "Ed25519"): "EdDSA"}
_KNOWN = frozenset(_ALGORITHMS.values())
Fetch = Callable[[str], Awaitable[bytes]]


class _Set(msgspec.Struct):
    keys: list[dict[str, Any]]


_decode = msgspec.json.Decoder(_Set).decode


class Jwks:
    """The keys behind one URL.

    Args:
        fetch: gets the document; raises OSError, TimeoutError or ValueError.
        clock: seconds, from anywhere.
    """

    def __init__(
        self, url: str, *, fetch: Fetch | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._url = url
        self._fetch = fetch or download
        self._clock = clock
        self._keys: list[tuple[str | None, Key]] = []
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, header: Mapping[str, Any]) -> Key | None:
        """The key that a token with this header names; None if it is not one of these.

        Raises:
            KeysUnavailable: the provider has not been reached, or not for a day.
        """
        if header.get("alg") not in _KNOWN:
            return None
        found = self._named(header)
        if self._age() > _GOOD_S or found is None:
            await self._renew()
            found = self._named(header)
        elif self._age() > _FRESH_S:
            self._begin()  # the kept ones are good meanwhile
        if self._age() > _GOOD_S:
            raise KeysUnavailable(
                "the keys that tokens are checked with cannot be fetched now",
                hint="try again shortly; the operator finds the reason in the log",
            )
        return found

    def _named(self, header: Mapping[str, Any]) -> Key | None:
        """The only key that fits: of the token's name, if it has one, and for its algorithm."""
        kid, algorithm = header.get("kid"), header["alg"]
        fits = [
            key for name, key in self._keys if (kid is None or name == kid) and algorithm in key.algorithms
        ]
        return fits[0] if len(fits) == 1 else None

    def _age(self) -> float:
        return float("inf") if self._fetched_at is None else self._clock() - self._fetched_at

    async def _renew(self) -> None:
        """Fetch now, unless that was done a moment ago. Everybody who waits shares the one fetch."""
        self._begin()
        if self._fetching is not None:
            await asyncio.shield(self._fetching)

    def _begin(self) -> None:
        now = self._clock()
        if self._fetching is None and (self._tried_at is None or now - self._tried_at >= _PAUSE_S):
            self._tried_at = now
            self._fetching = asyncio.create_task(self._take(), name="aerofn keys")

    async def _take(self) -> None:
        try:
            keys = list(_usable(_decode(await self._fetch(self._url)).keys[:_MOST_KEYS]))
        except (OSError, TimeoutError, ValueError, RecursionError) as error:
            log.warning("keys cannot be fetched", url=self._url, error=str(error) or type(error).__name__)
        else:
            self._keys, self._fetched_at = keys, self._clock()
        finally:
            self._fetching = None


def _usable(given: Iterable[dict[str, Any]]) -> Iterable[tuple[str | None, Key]]:
    """Those of a key set that check signatures in a way we know; others are passed over, as RFC 7517 says."""
    for one in given:
        algorithm = _ALGORITHMS.get((str(one.get("kty")), str(one.get("crv"))))
        if algorithm is None or one.get("alg", algorithm) != algorithm or one.get("use", "sig") != "sig":
            continue
        try:
            public = jwt.PyJWK({k: v for k, v in one.items() if k != "d"}, algorithm).key
        except (jwt.PyJWTError, ValueError, TypeError):
            continue
        if not isinstance(public, RSAPublicKey) or public.key_size >= _LEAST_RSA_BITS:
            yield one.get("kid"), Key(public, (algorithm,))


async def download(url: str) -> bytes:
    """What is at `url`, up to a mebibyte.

    Raises:
        OSError, TimeoutError, ValueError: there is nothing, or too much.
    """
    try:
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT) as session,
            session.get(url, allow_redirects=False, headers={"accept": "application/json"}) as answer,
        ):
            if answer.status != 200:
                raise ValueError(f"the answer is {answer.status}")
            return await _limited(answer.content)
    except aiohttp.ClientError as error:
        raise OSError(str(error)) from error


async def _limited(content: aiohttp.StreamReader) -> bytes:
    body = b""
    async for chunk in content.iter_any():
        body += chunk
        if len(body) > _LARGEST:
            raise ValueError(f"the answer is larger than {_LARGEST} bytes")
    return body
