"""The host's functions, refused while there is no invocation.

A function's top level runs once, while it is built, and is frozen into a snapshot; every invocation then
starts from that snapshot. At the top level there is nobody to call.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # made by componentize-py when it builds

    class Err(Exception):
        """The failure of a host call, and of `handle`."""

        def __init__(self, value: str) -> None:
            self.value = value

    class host:  # noqa: N801
        """The interface `host` of the contract."""

        @staticmethod
        def db_query(sql: str, params: str) -> str: ...
        @staticmethod
        def http_fetch(request: str) -> str: ...
        @staticmethod
        def log(level: str, message: str) -> None: ...
        @staticmethod
        def env(key: str) -> str | None: ...

    class clock:  # noqa: N801
        """The interface `clock` of the contract."""

        @staticmethod
        def wait(nanoseconds: int) -> None: ...
else:
    from componentize_py_types import Err
    from wit_world.imports import clock, host

__all__ = ["Err", "begin", "env", "fetch", "log", "query", "running", "sleep"]

_running = False


def begin() -> None:
    """From here on, an invocation runs."""
    global _running  # noqa: PLW0603  the sandbox lives for one invocation
    _running = True


def running() -> bool:
    """Whether an invocation runs, and not the build."""
    return _running


def query(sql: str, params: str) -> str:
    """`db-query` of the contract; raises Err with its error text."""
    _demand("db.query")
    return host.db_query(_text(sql), params)


def fetch(request: str) -> str:
    """`http-fetch` of the contract; raises Err with its error text."""
    _demand("http")
    return host.http_fetch(request)


def log(level: str, message: str) -> None:
    """One line of the invocation's log; dropped while the function is built."""
    if _running:
        host.log(level, _text(message))


def env(key: str) -> str | None:
    """A granted key's value."""
    _demand("env")
    return host.env(_text(key))


def sleep(seconds: float) -> None:
    """In the place of `time.sleep`: the sandbox waits without using CPU time."""
    _demand("time.sleep")
    if seconds < 0:
        raise ValueError("sleep length must be non-negative")
    clock.wait(round(seconds * 1e9))


def _demand(what: str) -> None:
    if not _running:
        raise RuntimeError(
            f"{what} cannot be used at the top level of the file, which runs only once, when the function is"
            " built: move it into the handler"
        )


def _text(text: str) -> str:
    """Without half characters (lone surrogates), which UTF-8 cannot say."""
    return text.encode("utf-8", "replace").decode()
