"""A query string as the struct that says which parameters there are."""

from typing import TypeVar

import msgspec
from starlette.requests import Request

from aerofn.errors import InvalidRequest

T = TypeVar("T", bound=msgspec.Struct)


def query_of(request: Request, kind: type[T], hint: str) -> T:
    """The query's parameters, each given once.

    Raises:
        InvalidRequest: one that there is not, that is given twice, or that cannot be right.
    """
    given = request.query_params.multi_items()
    try:
        found = msgspec.convert(dict(given), kind, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidRequest("the query cannot be right", detail=str(error), hint=hint) from None
    # "null" would be None to msgspec, and so as if it were not there.
    if len({name for name, _ in given}) < len(given) or any(
        getattr(found, name) is None for name, _ in given
    ):
        raise InvalidRequest("a parameter of the query is given twice, or as null", hint=hint)
    return found
