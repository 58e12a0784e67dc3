"""The events that tests make, as the service would make them."""

import uuid
from collections.abc import Mapping
from typing import Any


def row(
    record: Mapping[str, Any] | None,
    old_record: Mapping[str, Any] | None = None,
    *,
    table: str | None = None,
    schema: str = "public",
) -> dict[str, Any]:
    """The event of a row change: INSERT without `old_record`, DELETE without `record`, else UPDATE."""
    kind = "DELETE" if record is None else "INSERT" if old_record is None else "UPDATE"
    named = {"schema": schema, "table": table, "record": record, "old_record": old_record}
    return {"id": str(uuid.uuid4()), "trigger": "row", "type": kind, **named}


def http(
    body: Any = None,
    *,
    method: str = "POST",
    path: str = "",
    query: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The event of an HTTP invocation."""
    request = {"method": method, "path": path, "query": query or {}, "headers": headers or {}, "body": body}
    return {"id": str(uuid.uuid4()), "trigger": "http", "request": request}


def invoked(payload: Any = None) -> dict[str, Any]:
    """The event of `aerofn.invoke()`."""
    return {"id": str(uuid.uuid4()), "trigger": "invoke", "payload": payload}
