"""What an endpoint says of itself: declared next to the function that answers, and read by /openapi.json.

    @operation("Show one function", answers={200: ListedFunction}, errors=[NotFound])
    async def show(self, request: Request) -> Answer: ...

Types are msgspec's: structs, builtins, unions. An endpoint cannot be made of a function without this.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from aerofn.errors import AeroFnError

F = TypeVar("F", bound=Callable[..., Any])
Who = Literal["admin", "caller", "anybody"]
FUNCTION_NAME = "^[A-Za-z][A-Za-z0-9_-]{0,62}$"
JSON_TYPE = "application/json"


@dataclass(frozen=True)
class Content:
    """A body that is not JSON, or not only: by media type, its JSON schema."""

    schemas: Mapping[str, Mapping[str, Any]]


ANYTHING = Content({"*/*": {}})


@dataclass(frozen=True)
class Operation:
    """One method of one path.

    Args:
        answers: by status, the type of the JSON body, a Content, or None where there is no body.
        errors: those it may raise, beside what any request may end in.
        body: the type of the JSON body, or a Content; None if it takes none.
        query: a struct whose fields are the query's parameters.
        headers: request headers of its own, by name: their schemas.
        who: may use it: the admin role, a caller whom the function admits, or anybody, without a token.
    """

    summary: str
    answers: Mapping[int, Any]
    errors: Sequence[type[AeroFnError]] = ()
    body: Any = None
    query: Any = None
    headers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    who: Who = "admin"
    description: str = ""


def operation(
    summary: str,
    *,
    answers: Mapping[int, Any],
    errors: Sequence[type[AeroFnError]] = (),
    body: Any = None,
    query: Any = None,
    who: Who = "admin",
) -> Callable[[F], F]:
    """Declare what the function below answers; see Operation."""

    def declare(answering: F) -> F:
        answering.operation = Operation(  # type: ignore[attr-defined]
            summary, answers, errors, body=body, query=query, who=who
        )
        return answering

    return declare


def operation_of(answering: Any) -> Operation:
    """What a function says of itself.

    Raises:
        TypeError: it says nothing.
    """
    found = getattr(answering, "operation", None)
    if not isinstance(found, Operation):
        raise TypeError(f"{answering!r} is no endpoint: declare what it answers with @operation(…)")
    return found
