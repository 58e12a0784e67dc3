"""How often something may happen: rates by name, counted in this node's memory.

The algorithm is GCRA: `100/minute` lets a hundred through at once and then one every 0.6 s, without windows at
whose edge twice as many would pass. What is counted is bounded: past it the names longest unused are forgotten,
which is as if they had waited long enough.
"""

import math

from throttled.rate_limiter import GCRARateLimiter
from throttled.rate_limiter.quota_parser import parse
from throttled.store import MemoryStore

_MOST_NAMES = 100_000


class Rates:
    """Counters of their own; give each kind of name its own object."""

    def __init__(self) -> None:
        self._store = MemoryStore(options={"MAX_SIZE": _MOST_NAMES})
        self._limiters: dict[str, GCRARateLimiter] = {}

    def take(self, rate: str, name: str) -> int:
        """Count one; answers 0, or the seconds to wait if it was one too many (and so not counted)."""
        result = self._limiter(rate).limit(name)
        return max(1, math.ceil(result.state.retry_after)) if result.limited else 0

    def wait(self, rate: str, name: str) -> int:
        """0, or the seconds to wait if another would be one too many; counts nothing."""
        state = self._limiter(rate).peek(name)
        return 0 if state.remaining else max(1, math.ceil(state.retry_after))

    def _limiter(self, rate: str) -> GCRARateLimiter:
        limiter = self._limiters.get(rate)
        if limiter is None:
            (quota,) = parse(rate)
            # The rate is part of the name: a function registered with another one begins to count anew.
            limiter = self._limiters[rate] = GCRARateLimiter(quota, self._store, key_prefix=rate)
        return limiter
