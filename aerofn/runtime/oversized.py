"""What a guest is told of a host call that is larger than it may be: an error as its host reports others.

Such a call is measured in C, and nothing of it is copied, decoded or parsed.
"""

from typing import NamedTuple

import msgspec

from aerofn.runtime.sandbox import DB_QUERY


class Most(NamedTuple):
    """Bytes of one host call: a statement's text and parameters together, and HTTP requests made together."""

    query: int
    request: int


def refusal(function: int, size: int, most: Most) -> bytes:
    """The error, as JSON text."""
    if function == DB_QUERY:
        fields = {
            "code": "54000",
            "message": "a statement and its parameters are too large together:"
            f" {size:,} bytes, and the limit is {most.query:,}",
            "hint": "Send the data in several statements.",
        }
    else:
        fields = {
            "code": "request_too_large",
            "message": f"the requests are too large together: {size:,} bytes, and the limit is {most.request:,}",
        }
    return msgspec.json.encode(fields)
