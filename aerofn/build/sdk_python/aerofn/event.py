"""The event that a handler has as its second argument."""

from typing import Any


class Event(dict[str, Any]):
    """A JSON object whose fields are attributes too: `event.attempt`, `event.caller.role`.

    A field that this kind of event does not have is None as an attribute, and a KeyError as a key.
    """

    id: str
    trigger: str
    attempt: int
    caller: "Event"
    type: str | None
    table: str | None
    schema: str | None
    batch: "list[Event] | None"
    record: dict[str, Any] | None
    old_record: dict[str, Any] | None
    name: str | None
    request: "Event | None"
    payload: Any
    scheduled_at: str | None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _with_attributes(self.get(name))


def _with_attributes(value: Any) -> Any:
    if isinstance(value, dict):
        return Event(value)
    return [_with_attributes(one) for one in value] if isinstance(value, list) else value


def input_of(event: dict[str, Any]) -> Any:
    """What the event is about; the handler's first argument."""
    if event.get("trigger") in ("http", "webhook"):
        body = (event.get("request") or {}).get("body")
        return {} if body is None else body
    if event.get("trigger") == "row":
        if "batch" in event:  # of a trigger with a batch size
            return [input_of(one) for one in event["batch"]]
        return event.get("record") or event.get("old_record")
    payload = event.get("payload")
    return {} if payload is None else payload
