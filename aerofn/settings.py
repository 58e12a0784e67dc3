"""The service's settings: one frozen struct, read from `AEROFN_*` and `DATABASE_URL`.

An unknown `AEROFN_*` key is an error, so that a misspelt limit never goes unnoticed. Every field's
docstring (the string below it) is its documentation; `docs/settings.md` is checked against this file.
"""

import difflib
import ipaddress
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from aerofn.errors import SettingsError

PREFIX = "AEROFN_"
# Read by tools around the service, not by the service. AEROFN_URL and AEROFN_TOKEN are the command line's.
FOREIGN_KEYS = frozenset({"AEROFN_TEST_DATABASE_URL", "AEROFN_TOKEN", "AEROFN_TOOLCHAIN_DIR", "AEROFN_URL"})
# AEROFN_ENV_GREETING is what a function with `env => '{GREETING}'` reads: nothing else of the environment is.
FUNCTION_PREFIX = "AEROFN_ENV_"

_LISTS = ("roles", "egress_allow")
Port = Annotated[int, Meta(ge=0, le=65535)]
Positive = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(gt=0)]
# As aerofn_internal.check_rate() has it, for functions' own.
Rate = Annotated[str, Meta(pattern="^[1-9][0-9]{0,6}/(second|minute|hour|day)( burst [1-9][0-9]{0,6})?$")]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator decides. Units are in the names: `_s` seconds, `_ms` milliseconds, `_mb` mebibytes."""

    database_url: str
    """PostgreSQL, `postgresql://user:password@host:port/database`; also read from `DATABASE_URL`."""
    direct_database_url: str | None = None
    """PostgreSQL itself, where `database_url` is a pooler's: for all a node keeps open; by default `database_url`."""
    host: str = "127.0.0.1"
    """Address the HTTP server listens on."""
    port: Port = 8787
    """Port the HTTP server listens on; 0 takes a free one."""
    jwt_secret: str | None = None
    """HS256 secret of the tokens; at least 32 characters. Without it and `jwks_url` only `anon` can call."""
    jwks_url: Annotated[str, Meta(pattern="^https?://")] | None = None
    """Where the identity provider publishes the public keys of its tokens (RS256, ES256, EdDSA); prefer https."""
    jwt_audience: str | None = None
    """If set, tokens must carry this `aud`."""
    jwt_issuer: str | None = None
    """If set, tokens must carry this `iss`."""
    forgery_rate: Rate = "60/minute"
    """Tokens with a wrong signature from one address, beyond which it gets 429 for those not known to be good."""
    secret_key: str | None = None
    """Opens functions' secrets: any text of at least 32 characters; `new,old` while it is being changed."""
    roles: tuple[str, ...] = ("anon", "authenticated", "service_role")
    """Database roles that a caller may act as; `aerofn migrate` makes a login for each."""
    anon_role: str = "anon"
    """Role of a caller without a token, and of triggers that name no `run_as`."""
    admin_role: str = "service_role"
    """Role that may deploy and manage over HTTP."""
    migrate: bool = True
    """Install or update the schema at start."""
    harden: bool = True
    """At migrate as superuser, take the rights from PUBLIC that row-level security does not survive."""
    set_request_jwt_claims: bool = False
    """Also set `request.jwt.claims`, for policies written for PostgREST; nothing checks it: prefer `auth.jwt()`."""
    dashboard: bool = True
    """Serve the dashboard at `/`, for tokens of `admin_role`."""
    cache_dir: Path = Path("~/.cache/aerofn")
    """Private directory for compiled components."""
    cache_mb: Annotated[int, Meta(ge=64)] = 4096
    """Most disk space of `cache_dir`; what was not used for longest goes first, and is compiled again when needed."""
    pool_size: Positive = 10
    """Connections per exposed role for functions' queries, opened as needed."""
    function_pool_size: Positive = 8
    """How many of a role's connections one function may hold, so that its slow queries leave some to others."""
    service_pool_size: Positive = 4
    """Connections of the service itself (leasing, settling, records)."""
    pool_timeout_s: Seconds = 5.0
    """Longest wait of an invocation for a database connection."""
    timeout_ms: Annotated[int, Meta(ge=1, le=900_000)] = 10_000
    """Time limit of an invocation whose function sets none."""
    memory_mb: Annotated[int, Meta(ge=1, le=4096)] = 128
    """Memory limit of an invocation whose function sets none."""
    slice_ms: Annotated[int, Meta(ge=1, le=1000)] = 5
    """How long a guest may compute on the event loop before it moves to a worker thread."""
    worker_threads: Positive = 2
    """Threads for guests that compute longer than a slice, and for runs beside others."""
    max_invocations: Positive = 256
    """Invocations that run on this node at the same time."""
    max_per_function: Positive = 192
    """HTTP invocations of one function that run on this node at the same time: the other places are for others."""
    max_waiting: Annotated[int, Meta(ge=0)] = 1024
    """HTTP invocations that wait for a place; beyond it callers get 503 and `Retry-After`."""
    event_concurrency: Positive = 32
    """Events that run on this node at the same time."""
    events_per_transaction: Annotated[int, Meta(ge=1, le=50)] = 25
    """Events of one function and caller that may share a transaction when many wait; 1: each has its own."""
    lease_s: Seconds = 60.0
    """How long a node may hold an event beyond its time limit before another may take it."""
    max_depth: Positive = 16
    """Functions that may start each other in a chain; an event beyond it is dead."""
    poll_s: Seconds = 1.0
    """Longest time between two looks for due events when no wakeup comes."""
    shutdown_grace_s: Annotated[float, Meta(ge=0)] = 10.0
    """Time running invocations have to end after SIGTERM."""
    max_connections: Positive = 2048
    """Clients that may be connected to this node at the same time; beyond it they get 503."""
    max_connections_per_address: Positive = 1024
    """Of these, those of one address (of one /64 in IPv6), but for `trusted_proxies`; beyond it it gets 429."""
    client_timeout_s: Seconds = 20.0
    """Time a client has for a request's head, again for its body (more at 1 KiB/s), and to read some of an answer."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses or networks of proxies in front, whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed."""
    max_body_mb: Positive = 6
    """Largest body of an HTTP invocation."""
    max_component_mb: Positive = 64
    """Largest component that may be deployed."""
    max_output_mb: Positive = 6
    """Largest result of an invocation."""
    max_statements: Positive = 1000
    """Statements one invocation may run."""
    max_rows: Positive = 100_000
    """Rows one statement may return."""
    max_result_mb: Positive = 16
    """Bytes one statement may return."""
    egress_allow: tuple[str, ...] = ()
    """Networks (CIDR) that functions' requests may reach beside public addresses; comma-separated."""
    max_fetches: Positive = 100
    """HTTP requests one invocation may make."""
    fetch_timeout_s: Seconds = 30.0
    """Longest time of one HTTP request of a function, redirects included."""
    fetch_max_mb: Positive = 6
    """Largest body of such a request, and of its answer, decompressed."""
    fetch_connections: Positive = 128
    """HTTP requests of functions that are under way at the same time on this node."""
    fetch_connections_per_function: Positive = 32
    """Connections of one function on this node."""
    max_log_lines: Positive = 1000
    """Log lines kept of one invocation."""
    rate_limit: Rate | None = None
    """HTTP invocations of a function by each caller, such as `100/minute`, if the function sets none; per node."""
    result_hours: Positive = 24
    """How long the results of `Idempotency-Key` and `Prefer: respond-async` are kept."""
    retention_hours: Positive = 168
    """How long invocation records are kept."""
    webhook_memory_hours: Positive = 168
    """How long the ids of webhooks' deliveries are remembered: what comes again meanwhile is not run again."""
    log_level: Annotated[str, Meta(pattern="^(debug|info|warning|error)$")] = "info"
    """Least level of the service's own log lines on standard error."""
    records_to_stdout: bool = True
    """Write every invocation's record as a JSON line on standard output."""
    tracing: bool = False
    """Trace invocations with OpenTelemetry (extra `otel`); where to and how many the variables `OTEL_*` say."""

    @property
    def secret_keys(self) -> tuple[str, ...]:
        """The keys of `secret_key`: the first wraps, every one unwraps."""
        return secret_keys(self.secret_key)


_FORMS = {
    "jwks_url": "write the URL, https://…",
    "forgery_rate": "write it like 60/minute",
    "rate_limit": "write it like 100/minute, or 100/minute burst 200",
    "log_level": "write debug, info, warning or error",
}


def from_env(environ: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
    """Settings from the environment; `overrides` (not None) win.

    Raises:
        SettingsError: names the variable, what is wrong with it and what to write instead.
    """
    environ = os.environ if environ is None else environ
    known = {f.encode_name for f in msgspec.structs.fields(Settings)}
    values: dict[str, Any] = {}
    if url := environ.get("DATABASE_URL"):
        values["database_url"] = url
    for key, value in environ.items():
        if key.startswith(PREFIX) and not key.startswith(FUNCTION_PREFIX) and key not in FOREIGN_KEYS:
            values[_field(key, known)] = value
    values.update({k: v for k, v in overrides.items() if v is not None})
    return _checked(values)


def function_environment(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """What functions may be granted: the variables `AEROFN_ENV_*`, without that prefix."""
    environ = os.environ if environ is None else environ
    return {k.removeprefix(FUNCTION_PREFIX): v for k, v in environ.items() if k.startswith(FUNCTION_PREFIX)}


def secret_keys(text: str | None) -> tuple[str, ...]:
    """The keys of `AEROFN_SECRET_KEY`.

    Raises:
        SettingsError: one of them is too short.
    """
    keys = tuple(key.strip() for key in (text or "").split(",") if key.strip())
    if any(len(key) < 32 for key in keys):
        raise SettingsError(
            f"{PREFIX}SECRET_KEY has a key of fewer than 32 characters",
            hint="make one with: openssl rand -hex 32; separate several by commas",
        )
    return keys


def _field(key: str, known: set[str]) -> str:
    name = key.removeprefix(PREFIX).lower()
    if name in known:
        return name
    close = difflib.get_close_matches(name, known, n=1)
    raise SettingsError(
        f"{key} is not a setting of AeroFn",
        hint=f"did you mean {PREFIX}{close[0].upper()}?" if close else "see docs/settings.md for the list",
    )


def _checked(values: dict[str, Any]) -> Settings:
    if "database_url" not in values:
        raise SettingsError(
            "no database is set", hint="set DATABASE_URL=postgresql://user:password@host:5432/database"
        )
    for name in ("roles", "trusted_proxies"):
        if isinstance(values.get(name), str):
            values[name] = tuple(one.strip() for one in values[name].split(",") if one.strip())
    for name in _LISTS:
        if isinstance(values.get(name), str):
            values[name] = tuple(part.strip() for part in values[name].split(",") if part.strip())
    try:
        settings = msgspec.convert(values, Settings, strict=False, dec_hook=_path)
    except msgspec.ValidationError as error:
        reason, _, where = str(error).partition(" - at `$.")
        name = f"{PREFIX}{where.rstrip('`').upper()}" if where else "a setting"
        hint = _advice(where.rstrip("`").partition("[")[0])
        raise SettingsError(f"{name} is wrong: {reason}", hint=hint) from None
    _check_roles(settings)
    secret_keys(settings.secret_key)
    _check_networks(settings.egress_allow)
    return msgspec.structs.replace(settings, cache_dir=settings.cache_dir.expanduser())


def _advice(name: str) -> str:
    """What a setting may be, for whoever wrote something else."""
    (declared,) = [field for field in msgspec.structs.fields(Settings) if field.name == name]
    form = msgspec.inspect.type_info(declared.type)
    if isinstance(form, msgspec.inspect.UnionType):
        form = next(one for one in form.types if not isinstance(one, msgspec.inspect.NoneType))
    match form:
        case msgspec.inspect.BoolType():
            return "write true or false"
        case msgspec.inspect.IntType(ge=least, le=None):
            return f"write a whole number, {least} or more"
        case msgspec.inspect.IntType(ge=least, le=most):
            return f"write a whole number from {least} to {most}"
        case msgspec.inspect.FloatType(gt=None):
            return "write a number of seconds, 0 or more"
        case msgspec.inspect.FloatType():
            return "write a number of seconds above 0"
        case _:
            return _FORMS.get(name, "see docs/settings.md")


def _check_roles(settings: Settings) -> None:
    for name in ("anon_role", "admin_role"):
        if getattr(settings, name) not in settings.roles:
            raise SettingsError(
                f"{PREFIX}{name.upper()} is {getattr(settings, name)!r}, which is not among {PREFIX}ROLES",
                hint=f"add it to {PREFIX}ROLES, a comma-separated list",
            )
    if settings.jwt_secret is not None and len(settings.jwt_secret) < 32:
        raise SettingsError(
            f"{PREFIX}JWT_SECRET has {len(settings.jwt_secret)} characters; HS256 needs at least 32",
            hint="make one with: openssl rand -hex 32",
        )


def _check_networks(texts: tuple[str, ...]) -> None:
    for text in texts:
        try:
            ipaddress.ip_network(text)
        except ValueError as error:
            raise SettingsError(
                f"{PREFIX}EGRESS_ALLOW: {error}",
                hint="write networks like 10.1.0.0/16 or fd00::/8, separated by commas",
            ) from None


def _path(kind: type, value: Any) -> Any:
    if kind is Path:
        return Path(value)
    raise NotImplementedError
