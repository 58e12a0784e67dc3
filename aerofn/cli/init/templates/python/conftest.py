"""Gives the tests their fixtures `function` and `db`, and runs *.test.toml as tests."""

pytest_plugins = ["aerofn.testing.plugin"]
