"""The command line's HTTP calls to a service."""

import os
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

import aiohttp
import msgspec

from aerofn.errors import AeroFnError, InvalidToken, NotAllowed, NotFound, ServiceUnavailable

_LONGEST_S = 960.0  # past the longest time limit of an invocation
_ADMIN_HINT = (
    "give one of the admin role with --token or AEROFN_TOKEN; to try: aerofn token --role service_role"
)
_json = msgspec.json.Decoder()
_PASSING = frozenset({429, 502, 503, 504})
_KINDS: dict[int, type[AeroFnError]] = {401: InvalidToken, 403: NotAllowed, 404: NotFound}


class Service(NamedTuple):
    """Where a service is, and the token to show it."""

    url: str
    token: str | None = None

    async def invoke(self, function: str, body: bytes) -> Any:
        """What the function returned: JSON as a value, anything else as text.

        Raises:
            AeroFnError: what the service or the function answered instead.
        """
        headers = {"Content-Type": "application/json"}
        return await self._send("POST", f"/functions/v1/{function}", data=body, headers=headers)

    async def deploy(self, name: str, wasm: bytes, options: dict[str, str]) -> dict[str, Any]:
        """Register a version and wait until it is compiled; the service's answer about it.

        Raises:
            AeroFnError: why there is no such version.
        """
        form = aiohttp.FormData()
        form.add_field("name", name)
        form.add_field("wasm", wasm, filename=f"{name}.wasm", content_type="application/wasm")
        for key, value in options.items():
            form.add_field(key, value)
        answer: dict[str, Any] = await self._send("POST", "/functions/v1/deploy", data=form)
        return answer

    async def set_secret(self, name: str, value: str) -> str:
        """Set a secret; its fingerprint.

        Raises:
            AeroFnError: why it is not set.
        """
        answer = await self._send("PUT", f"/manage/v1/secrets/{quote(name, '')}", json={"value": value})
        return str(answer["fingerprint"])

    async def ask(self, method: str, path: str, query: Mapping[str, Any], body: Any) -> Any:
        """What the management API answers; of the query, what is None is left out.

        Raises:
            NotFound: there is no such thing.
            ServiceUnavailable: nobody answers, or not now.
            AeroFnError: what it answers instead.
        """
        params = {name: str(value) for name, value in query.items() if value is not None}
        return await self._send(method, path, params=params, **({} if body is None else {"json": body}))

    async def _send(self, method: str, path: str, **request: Any) -> Any:
        given = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        timeout = aiohttp.ClientTimeout(total=_LONGEST_S)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, headers=given) as session,
                session.request(method, self.url.rstrip("/") + path, **request) as response,
            ):
                return _answer(response.status, await response.read())
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ServiceUnavailable(
                f"no service answers at {self.url}",
                detail=_why(error),
                hint="start one with aerofn serve, or say where it is with --url or AEROFN_URL",
            ) from error


def _why(error: Exception) -> str:
    """What the system says, where aiohttp has more words for it."""
    number = getattr(getattr(error, "os_error", None), "errno", None)
    return os.strerror(number) if isinstance(number, int) else str(error) or type(error).__name__


def _answer(status: int, body: bytes) -> Any:
    try:
        value = _json.decode(body) if body else None
    except msgspec.DecodeError:
        value = body.decode(errors="replace")
    if status < 400:
        return value
    fields = value if isinstance(value, dict) else {}
    kind = ServiceUnavailable if status in _PASSING else _KINDS.get(status, AeroFnError)
    raise kind(
        str(fields.get("message", f"the service answered {status}")),
        detail=fields.get("detail") if fields else str(value),
        hint=_ADMIN_HINT if status == 401 else fields.get("hint"),
        code=fields.get("code"),
    )
