"""Connections by address."""

from aerofn.web.crowd import Crowd


def test_one_address_does_not_take_the_places_of_others():
    crowd = Crowd(2)
    first, second = crowd.enter("192.0.2.1"), crowd.enter("192.0.2.1")
    assert crowd.enter("192.0.2.1") is None
    assert crowd.enter("::ffff:192.0.2.1") is None
    assert crowd.enter("192.0.2.2") is not None
    crowd.leave(first)
    crowd.leave(second)
    assert crowd.enter("192.0.2.1") is not None


def test_a_v6_network_is_one():
    crowd = Crowd(1)
    assert crowd.enter("2001:db8::1") is not None
    assert crowd.enter("2001:db8::ffff:1") is None
    assert crowd.enter("2001:db8:0:1::1") is not None


def test_proxies_that_are_trusted_and_sockets_are_not_counted():
    crowd = Crowd(1, ("10.0.0.0/8", "2001:db8::1", "a name"))
    for address in ("10.1.2.3", "2001:db8::1", ""):
        assert [crowd.enter(address) for _ in range(3)] == [""] * 3
    crowd.leave("")
    assert [Crowd(1, ("*",)).enter("192.0.2.1") for _ in range(3)] == [""] * 3


def test_nothing_is_kept_of_who_has_left():
    crowd = Crowd(5)
    for number in range(1000):
        crowd.leave(crowd.enter(f"192.0.{number // 250}.{number % 250}"))
    assert len(crowd) == 0
