"""The body of an answer, read and decompressed within a limit: a bomb is noticed before it is unpacked."""

import zlib

from aiohttp import ClientResponse

from aerofn.errors import FetchError

_CHUNK = 64 * 1024
_ENCODINGS = frozenset({"gzip", "x-gzip", "deflate"})
_EITHER = 32 + zlib.MAX_WBITS  # zlib finds out itself whether it is gzip or zlib
_GZIP = 0x1F
_RAW = -zlib.MAX_WBITS


class Budget:
    """Bytes that several answers may have together."""

    def __init__(self, size: int) -> None:
        self._left = size

    def spend(self, size: int) -> bool:
        """Take `size` bytes; whether there were as many."""
        self._left -= size
        return self._left >= 0


def is_decoded(response: ClientResponse) -> bool:
    """Whether the body is read in another form than the headers say."""
    return response.headers.get("content-encoding", "").strip().lower() in _ENCODINGS


async def read(response: ClientResponse, most: int, together: Budget) -> bytes:
    """The whole body, decompressed; no more than a little over `most` bytes of it are ever held.

    Args:
        together: what this answer and those that are held beside it may have.

    Raises:
        FetchError: `response_too_large`, or `bad_response` if it cannot be decompressed.
    """
    unpack = _Unpacking() if is_decoded(response) else None
    parts, size, received = [], 0, 0
    async for chunk in response.content.iter_chunked(_CHUNK):
        received += len(chunk)
        part = chunk if unpack is None else unpack.add(chunk, most - size)
        size += len(part)
        if max(size, received) > most:  # packed bytes that unpack to nothing could go on for ever
            raise _too_large(f"the answer is larger than {most} bytes")
        if not together.spend(len(part)):
            raise _too_large("the answers that were asked for together are too large together")
        parts.append(part)
    if unpack is not None:
        unpack.end()
    return b"".join(parts)


def _too_large(what: str) -> FetchError:
    hint = "ask for less, or have the operator raise AEROFN_FETCH_MAX_MB"
    return FetchError(what, hint=hint, code="response_too_large")


class _Unpacking:
    """gzip, of one member or several, or deflate, with or without zlib's frame."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(_EITHER)
        self._begun = False

    def add(self, data: bytes, most: int) -> bytes:
        """The next bytes; at most `most` and one more, which says that there are too many."""
        parts: list[bytes] = []
        while data and most >= 0:
            part, data = self._next(data, most + 1)
            most -= len(part)
            parts.append(part)
        return b"".join(parts)

    def end(self) -> None:
        """All has been added.

        Raises:
            FetchError: it breaks off.
        """
        if self._begun and not self._stream.eof:
            raise FetchError("the compressed answer breaks off", code="bad_response")

    def _next(self, data: bytes, most: int) -> tuple[bytes, bytes]:
        if self._stream.eof:
            if data[0] != _GZIP:
                return b"", b""  # padding: ignored, as everywhere
            self._stream = zlib.decompressobj(_EITHER)
        try:
            part = self._stream.decompress(data, most)
        except zlib.error as error:
            if self._begun:
                raise FetchError("the answer cannot be decompressed", code="bad_response") from error
            self._begun, self._stream = True, zlib.decompressobj(_RAW)
            return self._next(data, most)
        self._begun = True
        return part, self._stream.unused_data or self._stream.unconsumed_tail
