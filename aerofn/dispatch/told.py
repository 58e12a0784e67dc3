"""What an event's text tells beside its JSON, by whitespace behind it.

A space: no number in it needs care. A JavaScript number holds 15 digits, so the SDK looks for longer ones before it
parses: for an event of usual size that takes QuickJS 25 µs, and one here.

A line break in front of that: the text's only `"body":` is the request's, and the body ends in front of the last two
braces. A handler that wants the body alone then parses nothing else (sdk/later.js): a browser's headers take
QuickJS longer than many a handler.

JSON allows both, and who knows nothing of them, a guest built before or in another language, does as always.
"""

_DIGITS = bytes.maketrans(b"123456789.", b"0000000000")
_LONG = b"0" * 16
_BODY = b'"body":'
_MOST = 64 << 10  # bytes: a copy of a larger text would hold up the loop


def body_found(event: bytes) -> bytes:
    """The text of an event whose last part is a request, and of that the body: with a line break, if it is found so."""
    return event + b"\n" if len(event) <= _MOST and event.count(_BODY) == 1 else event


def told(event: bytes) -> bytes:
    """An event's text for its function, with a space behind it if it has no run of 16 digits or points."""
    if len(event) > _MOST or _LONG in event.translate(_DIGITS):
        return event
    return event + b" "
