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
    record: dict[str, Any] | None
    old_record: dict[str, Any] | None
    name: str | None
    request: "Event | None"
    payload: Any
    scheduled_at: str | None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        value = self.get(name)
        return Event(value) if isinstance(value, dict) else value

    @property
    def batch(self) -> "list[Event] | None":
        """With a `batch_size`: the row events, whose rows the handler's first argument is a list of."""
        batch = self.get("batch")
        return None if batch is None else [Event(one) for one in batch]

    @property
    def input(self) -> Any:
        """What the event is about; the handler's first argument."""
        if self.batch is not None:
            return [one.input for one in self.batch]
        if self.get("trigger") in ("http", "webhook"):
            body = (self.get("request") or {}).get("body")
            return {} if body is None else body
        if self.get("trigger") == "row":
            return self.get("record") or self.get("old_record")
        payload = self.get("payload")
        return {} if payload is None else payload
