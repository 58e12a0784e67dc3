"""Values as people read them. Whatever users wrote stays text that shows all it has, and no more than a screen's."""

import contextlib
from datetime import UTC, datetime
from typing import Any

import msgspec
from markupsafe import Markup

from aerofn.db.figures import COUNTED
from aerofn.unseen import named

LONGEST = 64 * 1024
"""Characters of one text on a page."""

_STEPS = ((60, 1, "s"), (3600, 60, "min"), (86_400 * 2, 3600, "h"), (float("inf"), 86_400, "days"))


def visible(value: Any) -> Any:
    """What a template puts out: unseen characters named, endless text cut. Markup is our own and stays as it is."""
    if value is None:
        return "–"
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    cut = named(value[:LONGEST].replace("\r\n", "\n"))
    return f"{cut}… (the rest is not shown)" if len(value) > LONGEST else cut


def when(at: datetime, now: datetime | None = None) -> Markup:
    """How long ago, or until when; exactly in its title."""
    at = at.astimezone(UTC)
    exact = f"{at:%Y-%m-%d %H:%M:%S} UTC"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        at.isoformat(timespec="milliseconds"),
        exact,
        _relative((at - (now or datetime.now(UTC))).total_seconds()),
    )


def _relative(seconds: float) -> str:
    size = abs(seconds)
    if size < 1:
        return "now"
    _, step, unit = next(one for one in _STEPS if size < one[0])
    return f"in {round(size / step)} {unit}" if seconds > 0 else f"{int(size // step)} {unit} ago"


def duration(ms: float | None) -> str:
    """Milliseconds, in the unit that suits."""
    if ms is None:
        return "–"
    if ms < 10:
        return f"{ms:.2f} ms"
    if ms < 1000:
        return f"{ms:.0f} ms"
    return f"{ms / 1000:.2f} s" if ms < 60_000 else f"{ms / 60_000:.1f} min"


def number(value: float | None) -> str:
    """A count with its thousands apart."""
    return "–" if value is None else f"{value:,.0f}"


def about(value: int) -> str:
    """A count that beyond COUNTED is an estimate, and then has two digits that mean something."""
    return number(value) if value <= COUNTED else f"≈ {number(round(value, 2 - len(str(value))))}"


def rate(per_minute: float) -> str:
    """Invocations by minute, or by second where they are many."""
    if per_minute >= 600:
        return f"{per_minute / 60:,.0f}/s"
    return f"{per_minute:.0f}/min" if per_minute >= 10 or per_minute == 0 else f"{per_minute:.1f}/min"


def percent(part: int, whole: int) -> str:
    """A share; a small one is never shown as none."""
    if not part or not whole:
        return "0 %"
    share = 100 * part / whole
    return "< 0.1 %" if share < 0.1 else f"{share:.1f} %" if share < 10 else f"{share:.0f} %"


def memory(mb: float | None) -> str:
    """Mebibytes."""
    return "–" if mb is None else f"{mb:.1f} MB"


def size(count: int | None) -> str:
    """Bytes."""
    if count is None:
        return "–"
    if count < 1024:
        return f"{count} bytes"
    return f"{count / (1 << 20):.1f} MB" if count >= 1 << 20 else f"{count / 1024:.1f} KB"


def text(value: Any) -> str:
    """A string as it is; what should be one and is not, as JSON."""
    return value if isinstance(value, str) else json_text(value)


def json_text(value: Any) -> str:
    """JSON as PostgreSQL wrote it, spread over lines where it is short enough to be read."""
    encoded = bytes(value) if isinstance(value, msgspec.Raw) else msgspec.json.encode(value)
    if len(encoded) <= LONGEST:
        with contextlib.suppress(msgspec.MsgspecError, RecursionError):
            encoded = msgspec.json.format(encoded, indent=2)
    return encoded.decode(errors="replace")
