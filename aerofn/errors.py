"""Every error AeroFn raises on purpose: one tree, each with a stable code and an HTTP status.

AeroFnError
├── RequestError              the caller's request cannot be served as it stands
│   ├── InvalidRequest        400 invalid_request
│   ├── InvalidToken          401 invalid_token
│   ├── InvalidSignature      401 invalid_signature
│   ├── NotAllowed            403 not_allowed
│   ├── NotFound              404 not_found
│   ├── Conflict              409 conflict
│   ├── InProgress            409 request_in_progress (retry can help)
│   ├── KeyReused             422 idempotency_key_reused
│   ├── PayloadTooLarge       413 payload_too_large
│   ├── RateLimited           429 rate_limited        (retry can help)
│   ├── KeysUnavailable       503 keys_unavailable    (retry can help)
│   ├── NotReady              503 not_ready           (retry can help)
│   └── Busy                  503 busy                (retry can help)
├── DeployError               422 deploy_failed       the component cannot be a function
│   ├── InvalidComponent      422 invalid_component
│   └── CompileFailed         422 compile_failed
├── InvocationError           the function ran and did not succeed
│   ├── FunctionError         500 function_error      it returned or threw an error
│   ├── Trap                  500 trap
│   ├── InvocationTimeout     504 timeout             (retry can help)
│   ├── MemoryLimitExceeded   500 memory_limit
│   ├── Cancelled             499 cancelled           (retry can help)
│   └── HostError             500 host_error          (retry can help) AeroFn's own fault
│       └── SteppedAside      500 host_error          (retry can help) never told: it is repeated by itself
├── QueryError                the SQL of a function failed; reaches the guest
├── FetchError                502 fetch_failed        an HTTP request of a function failed; reaches the guest
├── DatabaseUnavailable       503 database_unavailable (retry can help)
├── ServiceUnavailable        503 service_unavailable (retry can help) the command line's: nobody answers there
├── LeaseLost                 409 lease_lost          another node runs this event now
├── MigrationError            500 migration_failed
├── SettingsError             500 invalid_settings
└── InstallationError         500 broken_installation
"""

from typing import Any, ClassVar


class AeroFnError(Exception):
    """Base of the tree.

    Args:
        message: what happened, one sentence.
        detail: the facts behind it, if any.
        hint: what the user can do next.
        code: overrides the class's stable code with a more precise one.
        retry_after: seconds to wait, where a retry can help.
    """

    code: str = "internal_error"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        detail: str | None = None,
        hint: str | None = None,
        code: str | None = None,
        retry_after: int = 1,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail
        self.hint = hint
        self.retry_after = retry_after
        if code is not None:
            self.code = code

    def body(self) -> dict[str, Any]:
        """The JSON answer of the HTTP API: code, message, detail, hint (as PostgREST's)."""
        return {"code": self.code, "message": self.message, "detail": self.detail, "hint": self.hint}


class RequestError(AeroFnError):
    """The request cannot be served as it stands."""

    code = "invalid_request"
    status = 400


class InvalidRequest(RequestError):
    """Malformed or out-of-range input."""


class InvalidToken(RequestError):
    """The bearer token is missing where needed, malformed, expired or not signed by us."""

    code = "invalid_token"
    status = 401


class InvalidSignature(RequestError):
    """A webhook's signature is missing, malformed, too old, or not made with one of its secrets."""

    code = "invalid_signature"
    status = 401


class NotAllowed(RequestError):
    """The caller's role may not do this."""

    code = "not_allowed"
    status = 403


class NotFound(RequestError):
    """No such function, trigger, event or invocation."""

    code = "not_found"
    status = 404


class Conflict(RequestError):
    """The thing exists already, or is in use."""

    code = "conflict"
    status = 409


class InProgress(RequestError):
    """A request with the same Idempotency-Key is being run."""

    code = "request_in_progress"
    status = 409
    retryable = True


class KeyReused(RequestError):
    """The Idempotency-Key was sent with another request before."""

    code = "idempotency_key_reused"
    status = 422


class PayloadTooLarge(RequestError):
    """Body, component or result over its limit."""

    code = "payload_too_large"
    status = 413


class RateLimited(RequestError):
    """Too many requests from this caller."""

    code = "rate_limited"
    status = 429
    retryable = True


class KeysUnavailable(RequestError):
    """The keys that tokens are checked with cannot be fetched from the identity provider."""

    code = "keys_unavailable"
    status = 503
    retryable = True


class NotReady(RequestError):
    """What is asked for is there, but cannot work now: disabled, or something it needs is not set."""

    code = "not_ready"
    status = 503
    retryable = True


class Busy(RequestError):
    """The node's queue is full."""

    code = "busy"
    status = 503
    retryable = True


class DeployError(AeroFnError):
    """The component cannot become a function's version."""

    code = "deploy_failed"
    status = 422


class InvalidComponent(DeployError):
    """The bytes are no component that AeroFn can run."""

    code = "invalid_component"


class CompileFailed(DeployError):
    """Compiling failed or went over its time or memory limit."""

    code = "compile_failed"


class InvocationError(AeroFnError):
    """A function was started and did not succeed."""

    code = "host_error"


class FunctionError(InvocationError):
    """The function returned an error or threw one."""

    code = "function_error"


class Trap(InvocationError):
    """The WebAssembly trapped (unreachable, stack overflow, out-of-bounds access …)."""

    code = "trap"


class InvocationTimeout(InvocationError):
    """The invocation passed its time limit and was stopped."""

    code = "timeout"
    status = 504
    retryable = True


class MemoryLimitExceeded(InvocationError):
    """The function asked for more memory than its limit."""

    code = "memory_limit"


class Cancelled(InvocationError):
    """The caller went away or the node is shutting down."""

    code = "cancelled"
    status = 499
    retryable = True


class HostError(InvocationError):
    """AeroFn itself failed while running the function."""

    retryable = True


class SteppedAside(HostError):
    """This run cannot go on in a transaction that it shares: it is broken off and repeated in one of its own."""


class QueryError(AeroFnError):
    """A function's SQL failed; `code` is the SQLSTATE and `fields` what the guest receives.

    Source: the error report of PostgreSQL, or the guard (42501) or a cap (54000) of AeroFn.
    """

    def __init__(self, fields: dict[str, Any]) -> None:
        super().__init__(
            str(fields.get("message", "query failed")),
            detail=fields.get("detail"),
            hint=fields.get("hint"),
            code=str(fields.get("code", "XX000")),
        )
        self.fields = fields


class FetchError(AeroFnError):
    """A function's HTTP request was refused or failed; the function receives code, message and hint."""

    code = "fetch_failed"
    status = 502


class DatabaseUnavailable(AeroFnError):
    """PostgreSQL cannot be reached or has no connection free in time."""

    code = "database_unavailable"
    status = 503
    retryable = True


class ServiceUnavailable(AeroFnError):
    """No service answers where the command line was told to look, or none that can take work now."""

    code = "service_unavailable"
    status = 503
    retryable = True


class LeaseLost(AeroFnError):
    """The event's lease has passed to another node: this run's effects are rolled back."""

    code = "lease_lost"
    status = 409


class MigrationError(AeroFnError):
    """The schema could not be installed or brought up to date."""

    code = "migration_failed"


class SettingsError(AeroFnError):
    """A setting is missing, unknown or out of range."""

    code = "invalid_settings"


class InstallationError(AeroFnError):
    """A part of AeroFn is missing, or does not belong to the rest."""

    code = "broken_installation"
