"""What the deploy finds out about a component, kept beside its machine code."""

import msgspec


class Anatomy(msgspec.Struct, frozen=True):
    """Facts about a component that its runs need.

    Attributes:
        wasi: it imports WASI, so each store needs a (bare) WASI context.
        memories: how many linear memories an instance has.
        growable: how many of them can grow.
        static_bytes: what the others take together (bytes).
    """

    wasi: bool
    memories: int
    growable: int
    static_bytes: int
