"""When a schedule is due: croniter finds the local times, and here is decided which instants they are.

croniter reads the lists of numbers that `aerofn_internal.cron()` made of an expression, and is asked for times
without a zone only: with one it runs a daily schedule twice, or not at all, where the clocks are changed.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from croniter import CroniterError, croniter

from aerofn.errors import AeroFnError

_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)


class Cron:
    """One schedule's times, to the second. Instants are in UTC.

    A schedule for every hour goes by elapsed time: it pauses for no hour and repeats what the clock repeats. Any other
    goes by the clock on the wall: a local time that comes twice counts once, the first time; one that is skipped
    counts at the moment the clock jumps.

    Args:
        fields: lists of numbers: second, minute, hour, day of the month, month, day of the week.
        either_day: whether one of the two days is enough.
        zone: a name of the tz database.

    Raises:
        AeroFnError: this node does not know the zone.
    """

    def __init__(self, fields: str, either_day: bool, zone: str) -> None:
        try:
            self._zone = ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise AeroFnError(
                f"the node does not know the time zone {zone}",
                hint="update the tzdata of the node's Python, or choose another zone with aerofn.alter_schedule()",
                code="unknown_timezone",
            ) from None
        self._times = croniter(fields, ret_type=datetime, day_or=either_day, second_at_beginning=True)
        self._every_hour = len(fields.split()[2].split(",")) == 24

    def after(self, instant: datetime) -> datetime:
        """The first time that is later.

        Raises:
            AeroFnError: there is none in 50 years.
        """
        instant = instant.astimezone(UTC)
        try:
            return self._by_elapsed_time(instant) if self._every_hour else self._by_wall_clock(instant)
        except (CroniterError, OverflowError) as error:
            raise AeroFnError("the schedule has no next time", detail=str(error), code="never_due") from error

    def upcoming(self, start: datetime, count: int) -> list[datetime]:
        """The first `count` times after `start`."""
        times = [self.after(start)]
        while len(times) < count:
            times.append(self.after(times[-1]))
        return times

    def latest(self, start: datetime, end: datetime) -> datetime:
        """The last time up to and with `end`; there must be one after `start`."""
        low, high = start, end
        while high - low > _SECOND:
            middle = low + (high - low) / 2
            low, high = (middle, high) if self.after(middle) <= end else (low, middle)
        return self.after(low)

    def _by_wall_clock(self, instant: datetime) -> datetime:
        wall = self._wall(instant)
        if wall.fold:  # what this hour repeats has been
            change = self._change(instant - _DAY, instant)
            wall = (change or instant) - _SECOND + self._offset(instant - _DAY)
        while True:
            wall = self._next(wall)
            due = self._instant(wall)
            if due > instant:
                return due

    def _by_elapsed_time(self, instant: datetime) -> datetime:
        start = instant
        while True:
            offset = self._offset(start)
            due = self._next((instant + offset).replace(tzinfo=None)).replace(tzinfo=UTC) - offset
            change = self._change(start, due)
            if change is None:
                return due
            # From here the clock shows other times; one at the very change counts.
            start, instant = change, change - _SECOND

    def _next(self, wall: datetime) -> datetime:
        found: datetime = self._times.get_next(start_time=wall, update_current=False)
        return found

    def _wall(self, instant: datetime) -> datetime:
        return instant.astimezone(self._zone).replace(tzinfo=None)

    def _offset(self, instant: datetime) -> timedelta:
        return instant.astimezone(self._zone).utcoffset() or timedelta()

    def _instant(self, wall: datetime) -> datetime:
        """When the clock shows `wall` first, or when it jumps over it."""
        first = wall.replace(tzinfo=self._zone, fold=0).astimezone(UTC)
        if self._wall(first).replace(fold=0) == wall:
            return first
        return self._change(wall.replace(tzinfo=self._zone, fold=1).astimezone(UTC), first) or first

    def _change(self, start: datetime, end: datetime) -> datetime | None:
        """The first change of the zone's offset after `start`, up to and with `end`; clocks change on full seconds."""
        low = start
        offset = self._offset(start)
        while low < end:
            high = min(low + _DAY, end)
            if self._offset(high) != offset:
                return self._first(low, high, offset)
            low = high
        return None

    def _first(self, low: datetime, high: datetime, offset: timedelta) -> datetime:
        while high - low > _SECOND:
            middle = low + (high - low) / 2
            low, high = (middle, high) if self._offset(middle) == offset else (low, middle)
        return high.replace(microsecond=0)


cron = lru_cache(maxsize=4096)(Cron)
