"""An event as its function is given it: one JSON object, around what PostgreSQL has made of rows and requests."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from aerofn.model import Caller

_NULL = msgspec.Raw(b"null")
_json = msgspec.json.Encoder().encode


class _Sender(msgspec.Struct, frozen=True):
    role: str
    sub: str | None


class _Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What all have in common, and all there is to an event that `aerofn.invoke()` made."""

    id: str
    trigger: str
    payload: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    attempt: int
    caller: _Sender


class _Request(_Asked, frozen=True, kw_only=True):
    request: msgspec.Raw
    name: str | msgspec.UnsetType = msgspec.UNSET


class _Tick(_Asked, frozen=True, kw_only=True):
    name: str
    scheduled_at: msgspec.Raw


class _Row(_Asked, frozen=True, kw_only=True):
    type: str
    name: str | None
    schema: str | None
    table: str | None
    record: msgspec.Raw
    old_record: msgspec.Raw


class _Due(msgspec.Struct, frozen=True):
    """What a schedule writes."""

    scheduled_at: msgspec.Raw = _NULL
    payload: msgspec.Raw = _NULL


_due = msgspec.json.Decoder(_Due).decode
Fields = dict[str, Any]


def payload_of(row: Mapping[str, Any], caller: Caller) -> bytes:
    """The JSON of a leased event; `row` is of `aerofn_internal.lease()`."""
    source = row["source"]
    common = {
        "id": str(row["id"]),
        "trigger": source,
        "attempt": row["attempt"],
        "caller": _Sender(caller.role, caller.subject),
    }
    return _json(_KINDS.get(source, _asked)(row, common))


def _row(row: Mapping[str, Any], common: Fields) -> _Asked:
    return _Row(
        type=row["operation"],
        name=row["trigger_name"],
        schema=row["schema_name"],
        table=row["table_name"],
        record=_raw(row["record"]),
        old_record=_raw(row["old_record"]),
        **common,
    )


def _http(row: Mapping[str, Any], common: Fields) -> _Asked:
    return _Request(request=_raw(row["payload"]), **common)


def _webhook(row: Mapping[str, Any], common: Fields) -> _Asked:
    return _Request(request=_raw(row["payload"]), name=row["trigger_name"], **common)


def _schedule(row: Mapping[str, Any], common: Fields) -> _Asked:
    due = _due(row["payload"])
    return _Tick(name=row["trigger_name"], scheduled_at=due.scheduled_at, payload=due.payload, **common)


def _asked(row: Mapping[str, Any], common: Fields) -> _Asked:
    return _Asked(payload=_raw(row["payload"]), **common)


_KINDS: dict[str, Callable[[Mapping[str, Any], Fields], _Asked]] = {
    "row": _row,
    "http": _http,
    "webhook": _webhook,
    "schedule": _schedule,
}


def _raw(text: str | None) -> msgspec.Raw:
    return _NULL if text is None else msgspec.Raw(text)
