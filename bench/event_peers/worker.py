"""What the workers in Python share: counting, and telling bench/events.py. Runs in the peers' own environment."""

import json
import os
import signal
import time

URL = os.environ["DATABASE_URL"]
_EVENTS, _WARM = int(os.environ["EVENTS"]), int(os.environ["WARM"])
_TIMES = bool(os.environ.get("TIMES"))


class Count:
    """Events that have started and ended."""

    def __init__(self) -> None:
        self._warming = _WARM > 0
        self._done = 0
        self._starts: list[tuple[int, float]] = []

    def started(self, order: int) -> None:
        """The function of this order begins now."""
        if _TIMES:
            self._starts.append((order, time.monotonic()))

    def ended(self) -> None:
        """One more is done."""
        self._done += 1
        if self._warming and self._done == _WARM:
            self._warming, self._done, self._starts = False, 0, []
            print("WARMED", flush=True)
        elif not self._warming and self._done == _EVENTS:
            print("RESULT " + json.dumps({"last": time.monotonic(), "starts": self._starts}), flush=True)


signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
