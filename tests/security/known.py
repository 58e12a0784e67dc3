"""Attacks that win, and why that breaks no promise. docs/security.md says the same to operators."""

_EXEC = "the application lets callers run exec_sql(text): doctor `dynamic_sql`"

HARMLESS = {
    "bad_utf_surrogate": "a lone surrogate becomes U+FFFD on its way out of the sandbox: plain text",
    "notify_exec": "a wakeup that nobody needs costs one look at the queue; " + _EXEC,
}
INHERENT = {
    "unique_probe": "a unique constraint must say no, even about a row the caller cannot see",
    "row_lock_hold": "whoever may update a row may hold its lock until the invocation's deadline",
}
FOUND_BY_DOCTOR = {
    "exec_sql_claims": "the policy reads a setting that any path to SET can change: doctor `raw_claims`, `dynamic_sql`",
    "guc_secret_current_setting": "a secret in a setting of the database is everybody's: doctor `secret_in_setting`",
    "owner_view": "a view without security_invoker reads as its owner: doctor `owner_view`",
    "leaky_view_no_barrier": "a filter in an owner's view is no policy: doctor `owner_view`",
    "matview": "a materialized view has no policies: doctor `materialized_view`",
    "explain_counts_strangers": "EXPLAIN tells how many rows a policy hid, not what is in them; " + _EXEC,
    "password_of_the_role": "every role may set its own password; without LOGIN it is good for nothing: doctor "
    "`powerful_role`; " + _EXEC,
    "truncate": "GRANT ALL includes TRUNCATE: doctor `broad_grant`; " + _EXEC,
}
NOT_HARDENED = {
    "default_privileges_for_everybody": "a role may say who gets what it will create, which is nothing; "
    + _EXEC,
    "secdef_temp_shadow_exec": "temporary tables shadow names in a SECURITY DEFINER function without search_path; "
    + _EXEC,
    "create_trigger_exec": "GRANT ALL includes TRIGGER, and nothing refuses DDL: doctor `broad_grant`; "
    + _EXEC,
}
