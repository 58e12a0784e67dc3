"""`env["KEY"]`: the keys and secrets this function was granted."""

from typing import TypeVar, overload

from aerofn import _host

T = TypeVar("T")


class Env:
    """Granted keys: `env["KEY"]` raises KeyError where there is none, `env.get("KEY")` is None then."""

    def __getitem__(self, key: str) -> str:
        value = _host.env(key)
        if value is None:
            raise KeyError(key)
        return value

    @overload
    def get(self, key: str) -> str | None: ...
    @overload
    def get(self, key: str, default: T) -> str | T: ...
    def get(self, key: str, default: object = None) -> object:
        """The key's value, or `default`."""
        value = _host.env(key)
        return default if value is None else value

    def __contains__(self, key: str) -> bool:
        return _host.env(key) is not None


env = Env()
