"""The soak's own books: a verdict that cannot find anything would be worth nothing."""

from collections import Counter

from bench.soak.evidence import _gaps
from bench.soak.faults import Window
from bench.soak.ledger import Answer, Ledger, out_of_order
from bench.soak.plan import plan
from bench.soak.verdict import unexcused


def test_what_was_lost_doubled_and_never_asked_for_is_found():
    ledger = Ledger()
    ledger.accept("order", ["1", "2", "3"])
    ledger.sent["order"] |= {"4", "5"}
    ledger.refused["order"] |= {"5"}
    found = Counter(
        {("order", "1"): 1, ("order", "2"): 2, ("order", "4"): 1, ("order", "5"): 1, ("order", "9"): 1}
    )
    (account,) = ledger.account(found)
    assert (account.lost, account.doubled, account.unasked) == (["3"], ["2"], ["5", "9"])
    assert len(account.troubles) == 3


def test_what_may_have_happened_may_have_happened_once():
    ledger = Ledger()
    ledger.sent["order"] |= {"1", "2"}
    (account,) = ledger.account(Counter({("order", "1"): 1}))
    assert account.troubles == []


def test_changes_out_of_order_are_found():
    effects = [
        ("accounts", "1:1"),
        ("accounts", "2:1"),
        ("accounts", "1:3"),
        ("accounts", "1:2"),
        ("other", "1:1"),
    ]
    assert out_of_order(effects) == ["1:2 after 1:3"]


def test_a_second_without_its_tick_is_found():
    ticks = ["2030-01-01T00:00:01+00:00", "2030-01-01T00:00:02Z", "2030-01-01T00:00:04+00:00"]
    assert _gaps("tick", ticks) == ["tick 00:00:03"]
    assert _gaps("tick", []) == ["tick never came"]


def test_only_what_a_fault_can_have_caused_is_excused():
    windows = [Window("a node killed", began=10, undone=11, ended=15)]
    answers = [
        Answer("plain", 9, 10.5, "b", "reset"),  # its own node, as it went
        Answer("plain", 9, 10.5, "c", "reset"),  # another one
        Answer("plain", 16, 17, "b", "reset"),  # later
        Answer("plain", 16, 17, "b", None),
    ]
    assert unexcused(answers, windows) == answers[1:3]


def test_the_seed_decides_every_blow():
    kinds = ["one", "two", "three"]
    assert plan(7, 1200, kinds) == plan(7, 1200, kinds)
    assert plan(7, 1200, kinds) != plan(8, 1200, kinds)
    assert {blow.kind for blow in plan(7, 30, kinds)} == set(kinds)
    assert all(30 * 0.08 <= blow.at < 30 * 0.88 for blow in plan(7, 30, kinds))
