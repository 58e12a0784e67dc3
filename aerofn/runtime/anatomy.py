"""What the deploy finds out about a component, kept beside its machine code."""

import msgspec


class Anatomy(msgspec.Struct, frozen=True):
    """Facts about a component that its runs need.

    Attributes:
        wasi: it imports WASI, so each store needs a (bare) WASI context.
        memories: how many linear memories an instance has.
        growable: how many of them can grow.
        static_bytes: what the others take together (bytes).
        tells_pages: it has the export that tells its memory's size (see `surgery`).
        cores: the core modules it shares with others (see `cores`), by their SHA-256 in hex.
    """

    wasi: bool
    memories: int
    growable: int
    static_bytes: int
    tells_pages: bool
    cores: tuple[str, ...] = ()

    def memory_size(self, limit: int) -> int:
        """How large each memory may become for all together to stay within `limit` bytes; 0 if they cannot."""
        free = limit - self.static_bytes
        if free < 0:
            return 0
        # none becomes larger than it is: whatever lets all of them be made will do
        return free // self.growable if self.growable else limit
