"""When schedules are due: real zones in both hemispheres, and a count by hand of every minute around their changes."""

import random
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from aerofn.dispatch.cron import Cron
from aerofn.errors import AeroFnError

MINUTE = timedelta(minutes=1)
# Days on which the clocks are changed: forwards and back, north and south, by an hour, by half of one, at midnight.
CHANGES = [
    ("Europe/Berlin", "2026-03-29"), ("Europe/Berlin", "2026-10-25"), ("America/New_York", "2026-03-08"),
    ("America/New_York", "2026-11-01"), ("Australia/Sydney", "2026-10-04"), ("Australia/Sydney", "2026-04-05"),
    ("Australia/Lord_Howe", "2026-10-04"), ("Australia/Lord_Howe", "2026-04-05"), ("America/Santiago", "2026-09-06"),
    ("America/Santiago", "2026-04-05"), ("Africa/Casablanca", "2026-02-15"), ("America/Sao_Paulo", "2018-11-04"),
    ("Asia/Kolkata", "2026-03-29"),
]  # fmt: skip


def numbers(low, high):
    return ",".join(map(str, range(low, high + 1)))


def fields(minute="*", hour="*", day="*", month="*", weekday="*", second="0"):
    """Lists of numbers, as `aerofn_internal.cron()` makes them."""
    given = [(second, 0, 59), (minute, 0, 59), (hour, 0, 23), (day, 1, 31), (month, 1, 12), (weekday, 0, 6)]
    return " ".join(numbers(low, high) if field == "*" else field for field, low, high in given)


def between(cron, start, end):
    due = cron.after(start)
    while due <= end:
        yield due
        due = cron.after(due)


def local(cron, zone, start, count):
    """The next times after local midnight of a day, as clocks there show them."""
    at = datetime.fromisoformat(start).replace(tzinfo=ZoneInfo(zone))
    shown = []
    for _ in range(count):
        at = cron.after(at)
        shown.append(at.astimezone(ZoneInfo(zone)).strftime("%d %H:%M%z"))
    return shown


@pytest.mark.parametrize(
    ("zone", "day", "minute", "hour", "expected"),
    [
        ("Europe/Berlin", "2026-03-28", "30", "2", ["28 02:30+0100", "29 03:00+0200", "30 02:30+0200"]),
        ("Europe/Berlin", "2026-10-24", "30", "2", ["24 02:30+0200", "25 02:30+0200", "26 02:30+0100"]),
        ("Australia/Sydney", "2026-10-03", "30", "2", ["03 02:30+1000", "04 03:00+1100", "05 02:30+1100"]),
        ("Australia/Sydney", "2026-04-04", "30", "2", ["04 02:30+1100", "05 02:30+1100", "06 02:30+1000"]),
        ("America/New_York", "2026-03-07", "5", "2", ["07 02:05-0500", "08 03:00-0400", "09 02:05-0400"]),
        ("America/Santiago", "2026-09-05", "0", "0", ["06 01:00-0300", "07 00:00-0300", "08 00:00-0300"]),
        ("Australia/Lord_Howe", "2026-10-03", "15", "2", ["03 02:15+1030", "04 02:30+1100", "05 02:15+1100"]),
        ("Pacific/Apia", "2011-12-28", "0", "12", ["28 12:00-1000", "29 12:00-1000", "31 00:00+1400"]),
    ],
)
def test_a_daily_time_comes_once_a_day(zone, day, minute, hour, expected):
    assert local(Cron(fields(minute, hour), False, zone), zone, day, 3) == expected


def test_every_half_hour_goes_by_elapsed_time():
    cron = Cron(fields("0,30"), False, "Europe/Berlin")
    for day in ("2026-03-29", "2026-10-25"):
        at = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo("Europe/Berlin")).astimezone(UTC)
        for _ in range(20):
            due = cron.after(at)
            assert due - at == timedelta(minutes=30)
            at = due


def test_leap_days():
    cron = Cron(fields("0", "0", "29", "2"), False, "UTC")
    years = [
        at.year for at in between(cron, datetime(2023, 1, 1, tzinfo=UTC), datetime(2033, 1, 1, tzinfo=UTC))
    ]
    assert years == [2024, 2028, 2032]
    assert cron.after(datetime(2096, 3, 1, tzinfo=UTC)) == datetime(2104, 2, 29, tzinfo=UTC)


def test_days_of_the_month_or_of_the_week():
    either, both = (Cron(fields("0", "0", "13", "*", "5"), either, "UTC") for either in (True, False))
    start = datetime(2026, 11, 1, tzinfo=UTC)
    assert [at.day for at in between(either, start, start + timedelta(days=29))] == [6, 13, 20, 27]
    assert [at.day for at in between(either, start, start + timedelta(days=45))][-3:] == [4, 11, 13]
    assert both.after(start) == datetime(2026, 11, 13, tzinfo=UTC)


def test_seconds():
    cron = Cron(fields(second="0,20,40"), False, "UTC")
    at = datetime(2026, 1, 1, 0, 0, 19, 999_999, tzinfo=UTC)
    assert [cron.after(at).second, cron.after(at + timedelta(microseconds=1)).second] == [20, 40]


def test_the_latest_time():
    cron = Cron(fields("0", "8", weekday="1"), False, "Europe/Berlin")
    start, end = datetime(2020, 1, 1, tzinfo=UTC), datetime(2026, 6, 7, 12, tzinfo=UTC)
    assert cron.latest(start, end) == datetime(2026, 6, 1, 6, tzinfo=UTC)
    assert cron.latest(start, datetime(2026, 6, 1, 6, tzinfo=UTC)) == datetime(2026, 6, 1, 6, tzinfo=UTC)


def test_a_zone_that_this_node_does_not_know():
    with pytest.raises(AeroFnError) as caught:
        Cron(fields(), False, "Europe/Atlantis")
    assert (caught.value.code, "Europe/Atlantis" in caught.value.message) == ("unknown_timezone", True)


def test_a_day_that_never_comes():
    with pytest.raises(AeroFnError) as caught:
        Cron(fields("0", "0", "30", "2"), False, "UTC").after(datetime(2026, 1, 1, tzinfo=UTC))
    assert caught.value.code == "never_due"


@pytest.mark.parametrize(("zone", "day"), CHANGES)
def test_as_counted_by_hand(zone, day):
    """For many expressions: the times of three days are those that a walk over every minute finds."""
    draw = random.Random(day + zone)
    start = datetime.fromisoformat(day).replace(tzinfo=UTC) - timedelta(days=1)
    minutes = [start + MINUTE * i for i in range(3 * 24 * 60)]
    for _ in range(6):
        hours = draw.choice([range(24), sorted(draw.sample(range(24), draw.randint(1, 12))), [0, 1, 2, 3]])
        allowed = sorted(draw.sample(range(60), draw.choice([1, 2, 6])))
        cron = Cron(fields(",".join(map(str, allowed)), ",".join(map(str, hours))), False, zone)
        expected = by_hand(minutes, ZoneInfo(zone), set(hours), set(allowed))
        assert [*between(cron, minutes[0] - MINUTE, minutes[-1])] == expected, (hours, allowed)
        for at in draw.sample(minutes, 15):  # from anywhere, in repeated hours too
            assert cron.after(at) == next((due for due in expected if due > at), cron.after(minutes[-1]))


def by_hand(minutes, zone, hours, allowed):
    walls = [at.astimezone(zone).replace(tzinfo=None, fold=0) for at in minutes]
    if len(hours) == 24:
        return [at for at, wall in zip(minutes, walls, strict=True) if wall.minute in allowed]
    due, latest = set(), walls[0] - MINUTE
    for at, wall in zip(minutes, walls, strict=True):
        while latest < wall:  # each local time, when the clock first shows it or has passed it
            latest += MINUTE
            if latest.hour in hours and latest.minute in allowed:
                due.add(at)
    return sorted(due)
