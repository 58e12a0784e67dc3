"""When a failed event runs again, and when it is given up."""

import random
from collections.abc import Callable

from aerofn.model import Event, GuestError, Outcome

_FIRST_S = 1.0
_LONGEST_S = 3600.0


def delay(event: Event, draw: Callable[[], float] = random.random) -> float:
    """Seconds until the next attempt: exponential from one second, up to an hour, with jitter.

    Args:
        draw: a number from 0 up to 1; tests give their own.
    """
    longest = min(_LONGEST_S, _FIRST_S * 2.0 ** min(event.attempt - 1, 30))
    return float(longest * (0.5 + draw() / 2))


def is_final(event: Event, outcome: Outcome, error: GuestError | None) -> bool:
    """Whether another attempt makes no sense: none is left, or the function said so (`retry: false`)."""
    if event.attempt >= event.max_attempts:
        return True
    return outcome is Outcome.FUNCTION_ERROR and error is not None and not error.retry
