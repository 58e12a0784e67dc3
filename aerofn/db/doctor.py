"""`aerofn doctor`: finds in a real database what row-level security against hostile SQL depends on its operator for."""

from typing import NamedTuple

from aerofn import sql
from aerofn.db.database import Database
from aerofn.db.pool import Connection
from aerofn.settings import Settings


class Finding(NamedTuple):
    """Something to do. `severity` is `error` (a promise does not hold) or `warning` (look whether it is meant)."""

    check: str
    severity: str
    object: str
    detail: str
    remedy: str


class Check(NamedTuple):
    """A statement of sql/queries/doctor.sql, and what its findings mean."""

    severity: str
    remedy: str


CHECKS = {
    "not_hardened": Check(
        "error", "run `aerofn migrate` once as a superuser; without one, see docs/security.md"
    ),
    "altered_executor": Check("error", "find out who changed it, then run `aerofn migrate` to make it anew"),
    "loose_login": Check("error", "take it back: a function login is a member of its role and nothing else"),
    "powerful_role": Check("error", "take it from the role, or expose another role with AEROFN_ROLES"),
    "caller_in_reach": Check(
        "error",
        "whoever sets aerofn_auth's sequences says who the caller is: REVOKE it from the role and from PUBLIC; let the "
        "function set a sequence named in it, or belong to a role without UPDATE on them, or REVOKE EXECUTE on it",
    ),
    "kept_rights": Check(
        "error", "REVOKE it from the role: SQL in functions reaches past its statement with it"
    ),
    "raw_claims": Check(
        "error",
        "read the verified claims instead: (SELECT auth.uid()) or (SELECT auth.jwt()); a setting can be changed "
        "by any path to SET",
    ),
    "foreign_uid": Check("error", "write policies with aerofn.uid(), aerofn.jwt() and aerofn.role()"),
    "dynamic_sql": Check(
        "error",
        "REVOKE EXECUTE on it from PUBLIC and the exposed roles, or make it run no text of its caller",
    ),
    "definer_without_path": Check("error", "ALTER FUNCTION … SET search_path = pg_catalog, public, pg_temp"),
    "owner_view": Check("error", "ALTER VIEW … SET (security_invoker = true), or REVOKE SELECT on it"),
    "materialized_view": Check("error", "REVOKE SELECT on it: materialized views have no policies"),
    "open_partition": Check("error", "REVOKE ALL on the partition: callers go through its parent"),
    "secret_in_setting": Check(
        "error", "RESET it: every role can read settings; use AEROFN_ENV_* or a secret"
    ),
    "secret_in_source": Check("error", "take it out: every role can read the source of functions"),
    "broad_grant": Check(
        "warning", "REVOKE TRUNCATE, TRIGGER, REFERENCES, MAINTAIN: policies say nothing about them"
    ),
    "cut_off": Check(
        "warning",
        "PostgREST needs it: GRANT EXECUTE ON FUNCTION set_config(text, text, boolean) TO the role; hardening "
        "left it to the roles of its day only",
    ),
    "no_policies": Check("warning", "ENABLE ROW LEVEL SECURITY, unless the table is meant for everybody"),
}
WEAKER = (
    "migrate has not run as a superuser: PUBLIC keeps functions that reach past a statement, and functions may "
    "run DDL that their role is allowed. Callers still act as their role only, with claims they cannot forge."
)


async def diagnose(conn: Connection, settings: Settings) -> list[Finding]:
    """All findings, errors first. `conn` is the user's of DATABASE_URL."""
    queries, roles = sql.queries("doctor"), list(settings.roles)
    found = [
        Finding(name, check.severity, row["object"], row["detail"], check.remedy)
        for name, check in CHECKS.items()
        for row in await conn.fetch(getattr(queries, name), roles)
    ]
    return sorted(found, key=lambda finding: finding.severity)


async def is_hardened(conn: Connection | Database) -> bool:
    """Whether hardening is in place; if not, `WEAKER` says what does not hold."""
    return bool(await conn.fetchval(sql.queries("doctor").is_hardened))
