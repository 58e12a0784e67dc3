"""The soak as a picture: work done and memory over time, with the faults behind."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from xml.sax.saxutils import escape

from bench.soak.watch import Sample

_WIDTH, _HEIGHT, _LEFT, _TOP = 960, 300, 46, 16
_COLOURS = (
    "#e76f51",
    "#f4a261",
    "#e9c46a",
    "#8ab17d",
    "#2a9d8f",
    "#457b9d",
    "#6d597a",
    "#b56576",
    "#9d8189",
    "#588157",
    "#bc6c25",
    "#3a0ca3",
)
_LINES = {"a": "#1d3557", "b": "#6c757d", "c": "#b5179e"}
Spans = Sequence[tuple[str, float, float]]


def picture(samples: Sequence[Sample], spans: Spans) -> str:
    """An SVG: above effects a second, below the nodes' memory."""
    longest = max((sample.at for sample in samples), default=1.0)
    kinds = sorted({kind for kind, _, _ in spans})
    colours = dict(zip(kinds, _COLOURS * 2, strict=False))
    inner = _WIDTH - _LEFT - 8
    parts = [_band(span, colours, inner / longest) for span in spans]
    rates = _rates(samples)
    parts += _chart("effects/s", {"": rates}, {"": "#264653"}, longest, _TOP, 120)
    memory = {
        name: [(sample.at, sample.memory_mb.get(name, 0.0)) for sample in samples] for name in samples[0].memory_mb
    } if samples else {}  # fmt: skip
    parts += _chart("MB", memory, _LINES, longest, _TOP + 150, 80)
    parts += _legend(kinds, colours)
    size = f'viewBox="0 0 {_WIDTH} {_HEIGHT + 16 * (len(kinds) // 5 + 1)}"'
    style = 'font-family="sans-serif" font-size="11" fill="#444"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>\n' + "\n".join(parts) + "\n</svg>\n"


def _rates(samples: Iterable[Sample]) -> list[tuple[float, float]]:
    seen = [(sample.at, sample.effects) for sample in samples if sample.effects is not None]
    return [(b[0], (b[1] - a[1]) / max(b[0] - a[0], 0.1)) for a, b in pairwise(seen)]


def _band(span: tuple[str, float, float], colours: dict[str, str], scale: float) -> str:
    kind, began, ended = span
    x, width = _LEFT + began * scale, max(1.5, (ended - began) * scale)
    shape = (
        f'<rect x="{x:.1f}" y="{_TOP}" width="{width:.1f}" height="240" fill="{colours[kind]}" opacity=".35">'
    )
    return f"{shape}<title>{escape(kind)} at {began:.0f} s</title></rect>"


def _chart(
    unit: str,
    lines: dict[str, list[tuple[float, float]]],
    colours: dict[str, str],
    longest: float,
    top: int,
    height: int,
) -> list[str]:
    most = max((value for line in lines.values() for _, value in line), default=1.0) or 1.0
    scale = (_WIDTH - _LEFT - 8) / longest
    parts = [
        f'<text x="2" y="{top + 10}">{most:.0f}</text><text x="2" y="{top + 24}">{unit}</text>',
        f'<path d="M{_LEFT} {top}v{height}H{_WIDTH - 8}" fill="none" stroke="#999"/>',
    ]
    for number, (name, line) in enumerate(lines.items()):
        colour = colours.get(name, "#333")
        points = " ".join(
            f"{_LEFT + at * scale:.0f},{top + height * (1 - value / most):.0f}" for at, value in line
        )
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.2"/>')
        if name:
            parts.append(
                f'<text x="{_LEFT + 6 + 50 * number}" y="{top + 10}" fill="{colour}">node {name}</text>'
            )
    return parts


def _legend(kinds: list[str], colours: dict[str, str]) -> list[str]:
    parts = []
    for number, kind in enumerate(kinds):
        x, y = _LEFT + 180 * (number % 5), _TOP + 264 + 16 * (number // 5)
        parts.append(f'<rect x="{x}" y="{y - 9}" width="10" height="10" fill="{colours[kind]}"/>')
        parts.append(f'<text x="{x + 14}" y="{y}">{escape(kind)}</text>')
    return parts
