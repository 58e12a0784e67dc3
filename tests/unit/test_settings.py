"""Settings: from the environment, checked whole, and every mistake named with what to write instead."""

from pathlib import Path

import msgspec
import pytest

from aerofn.errors import SettingsError
from aerofn.settings import Settings, from_env

URL = "postgresql://u:p@h/d"


def test_defaults_need_only_a_database():
    settings = from_env({"DATABASE_URL": URL})
    assert settings.database_url == URL
    assert (settings.port, settings.timeout_ms, settings.memory_mb) == (8787, 10_000, 128)
    assert settings.roles == ("anon", "authenticated", "service_role")


def test_values_are_converted_from_text():
    settings = from_env({
        "AEROFN_DATABASE_URL": URL, "AEROFN_PORT": "0", "AEROFN_LEASE_S": "1.5", "AEROFN_MIGRATE": "false",
        "AEROFN_ROLES": "anon, app_user ,service_role", "AEROFN_CACHE_DIR": "/var/cache/x",
    })  # fmt: skip
    assert (settings.port, settings.lease_s, settings.migrate) == (0, 1.5, False)
    assert settings.roles == ("anon", "app_user", "service_role")
    assert settings.cache_dir == Path("/var/cache/x")


def test_keys_and_networks():
    new, old = "n" * 32, "o" * 40
    environ = {
        "DATABASE_URL": URL,
        "AEROFN_SECRET_KEY": f"{new}, {old}",
        "AEROFN_EGRESS_ALLOW": "10.0.0.0/8, fd00::/8",
    }
    settings = from_env(environ)
    assert settings.secret_keys == (new, old)
    assert settings.egress_allow == ("10.0.0.0/8", "fd00::/8")
    assert from_env({"DATABASE_URL": URL}).secret_keys == ()


def test_the_prefixed_url_and_overrides_win():
    environ = {"DATABASE_URL": "postgresql://other", "AEROFN_DATABASE_URL": URL, "AEROFN_PORT": "1"}
    assert from_env(environ).database_url == URL
    assert from_env(environ, port=2, host=None).port == 2
    assert from_env(environ, port=2, host=None).host == "127.0.0.1"


def test_a_home_directory_is_expanded(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    assert from_env({"DATABASE_URL": URL}).cache_dir == Path("/home/ada/.cache/aerofn")


@pytest.mark.parametrize(
    ("environ", "message", "hint"),
    [
        ({}, "no database is set", "DATABASE_URL=postgresql://"),
        ({"AEROFN_POOL_SIZ": "3"}, "AEROFN_POOL_SIZ is not a setting", "did you mean AEROFN_POOL_SIZE"),
        ({"AEROFN_XYZZY": "3"}, "AEROFN_XYZZY is not a setting", "docs/settings.md"),
        ({"AEROFN_PORT": "70000"}, "AEROFN_PORT is wrong: Expected `int` <= 65535", "from 0 to 65535"),
        ({"AEROFN_PORT": "http"}, "AEROFN_PORT is wrong", "whole number"),
        ({"AEROFN_POOL_SIZE": "0"}, "AEROFN_POOL_SIZE is wrong: Expected `int` >= 1", "1 or more"),
        ({"AEROFN_LOG_LEVEL": "loud"}, "AEROFN_LOG_LEVEL is wrong", "debug, info"),
        ({"AEROFN_JWT_SECRET": "short"}, "has 5 characters; HS256 needs at least 32", "openssl rand"),
        ({"AEROFN_SECRET_KEY": "x" * 32 + ",short"}, "has a key of fewer than 32 characters", "openssl rand"),
        ({"AEROFN_EGRESS_ALLOW": "10.0.0.0/8,10.1.2.3/8"}, "AEROFN_EGRESS_ALLOW: 10.1.2.3/8", "10.1.0.0/16"),
        ({"AEROFN_EGRESS_ALLOW": "inside.example"}, "AEROFN_EGRESS_ALLOW: 'inside.example'", "networks"),
        ({"AEROFN_ANON_ROLE": "guest"}, "AEROFN_ANON_ROLE is 'guest', which is not among", "AEROFN_ROLES"),
        ({"AEROFN_ROLES": "anon"}, "AEROFN_ADMIN_ROLE is 'service_role', which is not", "AEROFN_ROLES"),
    ],
)
def test_a_mistake_is_named_with_what_to_do(environ, message, hint):
    given = {} if not environ else {"DATABASE_URL": URL, **environ}
    with pytest.raises(SettingsError) as caught:
        from_env(given)
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_a_secret_is_not_repeated_in_the_error():
    with pytest.raises(SettingsError) as caught:
        from_env({"DATABASE_URL": URL, "AEROFN_JWT_SECRET": "hunter2"})
    assert "hunter2" not in str(caught.value.body())


def test_keys_of_others_are_left_alone():
    environ = {"DATABASE_URL": URL, "AEROFN_TEST_DATABASE_URL": "x", "PATH": "/bin", "aerofn_port": "x"}
    assert from_env(environ).port == 8787


def test_they_cannot_be_changed():
    settings = from_env({"DATABASE_URL": URL})
    with pytest.raises(AttributeError):
        settings.port = 1
    assert msgspec.structs.replace(settings, port=1).port == 1


def test_every_setting_says_what_it_is_for():
    source = Path(from_env.__code__.co_filename).read_text()
    for field in msgspec.structs.fields(Settings):
        line = f"\n    {field.name}: "
        after = source[source.index(line) + len(line) :]
        assert after.split("\n")[1].startswith('    """'), field.name


BAD = {
    bool: ["maybe", "2"],
    int: ["many", "-1", "1.5"],
    float: ["long", "-1", "nan"],
}
# What is wrong with those that are text; the others take any.
BAD_TEXT = {
    "jwt_secret": ["short"],
    "jwks_url": ["ldap://keys"],
    "forgery_rate": ["60", "often"],
    "rate_limit": ["0/minute", "1/fortnight"],
    "secret_key": ["short", "x" * 32 + ",short"],
    "roles": ["", "anon"],
    "anon_role": ["nobody"],
    "admin_role": ["root"],
    "egress_allow": ["10.0.0.1/8", "everywhere"],
    "log_level": ["loud"],
}
ANY_TEXT = {
    "database_url",
    "direct_database_url",
    "host",
    "jwt_audience",
    "jwt_issuer",
    "cache_dir",
    "trusted_proxies",
}


@pytest.mark.parametrize("field", msgspec.structs.fields(Settings), ids=lambda field: field.name)
def test_every_setting_that_is_wrong_names_itself_and_the_way_out(field):
    kind = type(field.default) if type(field.default) in BAD else str
    if kind is str and field.name not in BAD_TEXT:
        assert field.name in ANY_TEXT
        return
    key = f"AEROFN_{field.name.upper()}"
    for value in BAD_TEXT[field.name] if kind is str else BAD[kind]:
        with pytest.raises(SettingsError) as refused:
            from_env({"DATABASE_URL": "postgresql://x/y", key: value})
        told = refused.value
        named = {key, "AEROFN_ROLES"} if field.name == "roles" else {key}
        assert any(name in told.message for name in named), value
        assert told.hint
        assert told.hint != "see docs/settings.md", value
