"""What was promised to whom, and every answer: compared at the end with what happened.

Each thing that is sent has a kind and a key, and its function writes one row of both. Accepted means that it has to
happen exactly once; sent and not accepted, that it may have happened, once at the most; refused, that it has not.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Answer:
    """How one request came out: `trouble` is None if as it should be. Times in seconds since the start."""

    kind: str
    began: float
    ended: float
    node: str
    trouble: str | None


@dataclass
class Account:
    """Of one kind: what was sent, and what became of it."""

    kind: str
    sent: int
    accepted: int
    effects: int
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    unasked: list[str] = field(default_factory=list)

    @property
    def troubles(self) -> list[str]:
        """Everything that must not be, in words."""
        named = {
            "lost": self.lost,
            "done more than once": self.doubled,
            "done though nobody asked": self.unasked,
        }
        return [
            f"{self.kind}: {len(keys)} {what}, such as {keys[:3]}" for what, keys in named.items() if keys
        ]


class Ledger:
    """The books of one soak."""

    def __init__(self) -> None:
        self.sent: dict[str, set[str]] = defaultdict(set)
        self.accepted: dict[str, set[str]] = defaultdict(set)
        self.refused: dict[str, set[str]] = defaultdict(set)
        self.to_be_sent: set[str] = set()  # requests left for after the commit, by their idempotency keys
        self.committed: dict[tuple[str, str], float] = {}
        self.answers: list[Answer] = []
        self.broken_promises: list[str] = []

    def accept(self, kind: str, keys: Iterable[str]) -> None:
        """These have to happen."""
        self.accepted[kind].update(keys)
        self.sent[kind].update(keys)

    def account(self, effects: Counter[tuple[str, str]]) -> list[Account]:
        """What became of each kind, by how often each effect was found."""
        found: dict[str, Counter[str]] = defaultdict(Counter)
        for (kind, key), times in effects.items():
            found[kind][key] = times
        return [self._of(kind, found[kind]) for kind in sorted({*self.sent, *found})]

    def _of(self, kind: str, found: Counter[str]) -> Account:
        return Account(
            kind,
            len(self.sent[kind]),
            len(self.accepted[kind]),
            found.total(),
            lost=sorted(self.accepted[kind] - found.keys()),
            doubled=sorted(key for key, times in found.items() if times > 1),
            unasked=sorted(found.keys() - self.sent[kind] | found.keys() & self.refused[kind]),
        )


def out_of_order(effects: Iterable[tuple[str, str]]) -> list[str]:
    """Of changes of rows, `id:n` in the order in which they ran: where an earlier one came after a later one."""
    last: dict[str, int] = defaultdict(int)
    wrong = []
    for kind, key in effects:
        if kind == "accounts":
            row, _, n = key.partition(":")
            if int(n) <= last[row]:
                wrong.append(f"{key} after {row}:{last[row]}")
            last[row] = max(last[row], int(n))
    return wrong
