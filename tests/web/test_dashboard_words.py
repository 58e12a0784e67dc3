"""Values as the dashboard's pages say them."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from markupsafe import Markup

from aerofn.db.figures import Minutes
from aerofn.web.dashboard import chart, words

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "now"), (-0.9, "now"), (-1, "1 s ago"), (-59.9, "59 s ago"), (-60, "1 min ago"), (-7200, "2 h ago"),
     (-86_400 * 3, "3 days ago"), (5, "in 5 s"), (3600 * 3 - 2, "in 3 h"), (86_400 * 400, "in 400 days")],
)  # fmt: skip
def test_when(seconds: float, said: str) -> None:
    made = words.when(NOW + timedelta(seconds=seconds), NOW)
    assert f">{said}</time>" in made
    assert "UTC" in made


def test_the_exact_time_is_in_the_title() -> None:
    berlin = datetime.fromisoformat("2026-03-01T10:00:00.123+01:00")
    assert 'datetime="2026-03-01T09:00:00.123+00:00" title="2026-03-01 09:00:00 UTC"' in words.when(
        berlin, NOW
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [(None, "–"), ("plain", "plain"), ("a\tb\nc", "a\tb\nc"), ("a\r\nb", "a\nb"), ("a\rb", "a␍b"), ("\x1b[2J", "␛[2J"),
     ("\x7f", "⟨U+007F⟩"), ("x\u202ey", "x⟨RIGHT-TO-LEFT OVERRIDE⟩y"), ("\u2066", "⟨LEFT-TO-RIGHT ISOLATE⟩"),
     ("\u200b", "⟨ZERO WIDTH SPACE⟩"), ("\U000e0041", "⟨TAG LATIN CAPITAL LETTER A⟩"),
     ("\ufeff", "⟨ZERO WIDTH NO-BREAK SPACE⟩"),
     ("שלום, 你好", "שלום, 你好"), ("\U0001f469\u200d\U0001f680", "\U0001f469\u200d\U0001f680"),
     (7, 7), (Markup("<b>\u202e</b>"), Markup("<b>\u202e</b>"))],
)  # fmt: skip
def test_nothing_is_unseen(given: object, said: object) -> None:
    assert words.visible(given) == said


def test_endless_text_is_cut() -> None:
    assert words.visible("x" * words.LONGEST) == "x" * words.LONGEST
    assert words.visible("x" * (words.LONGEST + 1)) == "x" * words.LONGEST + "… (the rest is not shown)"


@pytest.mark.parametrize(
    ("say", "given", "said"),
    [
        (words.duration, 0.314, "0.31 ms"), (words.duration, 12.4, "12 ms"), (words.duration, 1500, "1.50 s"),
        (words.duration, 90_000, "1.5 min"), (words.duration, None, "–"),
        (words.rate, 0, "0/min"), (words.rate, 0.2, "0.2/min"), (words.rate, 42, "42/min"),
        (words.rate, 90_000, "1,500/s"),
        (words.number, 1234567, "1,234,567"), (words.number, None, "–"),
        (words.size, 100, "100 bytes"), (words.size, 1536, "1.5 KB"),
        (words.size, 3 << 20, "3.0 MB"), (words.size, None, "–"),
        (words.json_text, msgspec.Raw(b'{"a":1e999}'), '{\n  "a": 1e999\n}'),
        (words.json_text, {"a": [1]}, '{\n  "a": [\n    1\n  ]\n}'),
        (words.json_text, msgspec.Raw(b'{"cut": "of'), '{"cut": "of'),
        (words.text, "as it is", "as it is"), (words.text, [1], "[\n  1\n]"),
    ],
)  # fmt: skip
def test_units(say: object, given: object, said: str) -> None:
    assert say(given) == said  # type: ignore[operator]


@pytest.mark.parametrize(
    ("part", "whole", "said"),
    [
        (0, 0, "0 %"),
        (0, 9, "0 %"),
        (1, 100_000, "< 0.1 %"),
        (1, 300, "0.3 %"),
        (1, 3, "33 %"),
        (9, 9, "100 %"),
    ],
)
def test_a_small_share_is_not_none(part: int, whole: int, said: str) -> None:
    assert words.percent(part, whole) == said


def test_charts_of_an_empty_and_of_a_full_hour() -> None:
    nothing = Minutes.none()
    assert chart.spark(nothing).failed == ""
    assert {bar.height for bar in chart.bars(nothing)} == {0}
    assert chart.recent(nothing.invocations) == 0
    full = Minutes([*range(60)], [0] * 59 + [59])
    assert chart.spark(full).failed == "M59 20v-19.0"
    last = chart.bars(full)[-1]
    assert (last.ago, last.top, last.height, last.failed) == (0, 0, 100, 100)
    assert chart.recent(full.invocations) == 56
    assert chart.recent([0] * 59 + [3]) == 3


@pytest.mark.parametrize(
    ("given", "said"),
    [(0, "0"), (9_999, "9,999"), (10_000, "10,000"), (10_049, "≈ 10,000"), (1_234_567, "≈ 1,200,000")],
)
def test_a_count_that_is_an_estimate_says_so(given: int, said: str) -> None:
    assert words.about(given) == said
