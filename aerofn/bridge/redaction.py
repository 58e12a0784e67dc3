"""Keeps the values of secrets out of what is recorded, also encoded and cut up over several lines.

Text is compared without its spaces and punctuation and without case, so separators and most escapes are looked
through; beside the value itself its usual encodings are looked for. A function that wants to give a secret away
can always do so in a way that nobody foresaw: this is for mistakes, the grant is for enemies.
"""

import base64
import html
import json
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote

from aerofn.model import CUT

_BARE: dict[int, str | None] = {code: None for code in range(128) if not chr(code).isalnum()}
_BARE |= {code: chr(code).lower() for code in range(ord("A"), ord("Z") + 1)}
# What is left of a value without punctuation has to be this long, or it would be found everywhere.
_LEAST = 6
Span = tuple[int, int, str]


class Redactor:
    """Looks for the values of some secrets.

    Args:
        secrets: values by name.
    """

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._forms = {form: name for name, value in secrets.items() for form in _forms(value)}
        self._exact = {
            written: name
            for name, value in secrets.items()
            if len(bare(value)) < _LEAST
            for written in (value, *(text[1:-1] for text in _in_json(value)))
        }
        self.longest = max(map(len, self._forms), default=0)

    def text(self, text: str) -> str:
        """`text` with `[secret NAME]` where a value was."""
        return self.lines([text])[0]

    def error(self, text: str) -> str:
        """`text` of an error, which may have been cut in the middle of a value: its beginning goes as well."""
        if not text.endswith(CUT):
            return self.text(text)
        return self._whole(self.text(text.removesuffix(CUT))) + CUT

    def _whole(self, text: str) -> str:
        """`text` without what could be the beginning of a value at its end."""
        joined = bare(text)
        begun = max((_begun(joined, form) for form in self._forms), default=0)
        while begun:
            begun -= bool(bare(text[-1]))
            text = text[:-1]
        return text[: len(text) - max((_begun(text, value) for value in self._exact), default=0)]

    def lines(self, lines: list[str]) -> list[str]:
        """Lines that follow one another, without the values in them or spread over them."""
        for value, name in self._exact.items():
            lines = [line.replace(value, f"[secret {name}]") for line in lines]
        joined = "".join(map(bare, lines))
        if not any(form in joined for form in self._forms):
            return lines
        places = [(n, at) for n, line in enumerate(lines) for at, char in enumerate(line) if bare(char)]
        spans: dict[int, list[Span]] = {}
        for start, end, name in self._found(joined):
            for n, first, last in _by_line(places[start:end]):
                spans.setdefault(n, []).append((first, last + 1, name))
        return [_replaced(line, spans.get(n, [])) for n, line in enumerate(lines)]

    def _found(self, joined: str) -> list[Span]:
        """Where values are, from the first to the last; those that overlap are one."""
        merged: list[Span] = []
        for start, end, name in sorted(self._matches(joined)):
            if merged and start < merged[-1][1]:
                first, last, named = merged[-1]
                merged[-1] = first, max(last, end), named
            else:
                merged.append((start, end, name))
        return merged

    def _matches(self, joined: str) -> Iterator[Span]:
        for form, name in self._forms.items():
            start = joined.find(form)
            while start >= 0:
                last, end = start, start + len(form)
                while (again := joined.rfind(form, last + 1, end + len(form) - 1)) > last:
                    last, end = again, again + len(form)
                yield start, end, name
                start = joined.find(form, end)


def _begun(text: str, value: str) -> int:
    """How much of a value, but not all of it, a text ends with."""
    at = text.find(value[0], max(0, len(text) - len(value) + 1))
    while at >= 0:
        if value.startswith(text[at:]):
            return len(text) - at
        at = text.find(value[0], at + 1)
    return 0


def bare(text: str) -> str:
    """`text` as it is compared: without ASCII's spaces and punctuation, its letters in lower case."""
    return text.translate(_BARE)


def _forms(value: str) -> set[str]:
    """How a value may be written, each without punctuation and case."""
    data = value.encode()
    written = {
        value,
        value.lower(),
        value.upper(),
        value[::-1],
        *_in_json(value),
        # encodeURIComponent, encodeURI, and what escapes everything
        *(quote(value, safe) for safe in ("", "!'()*", "!'()*;/?:@&=+$,#")),
        html.escape(value),
        data.hex(),
        "".join(map(str, data)),  # a Uint8Array as console.log shows it
        *_base64(data),
    }
    return {form for form in map(bare, written) if len(form) >= _LEAST}


def _in_json(value: str) -> tuple[str, str, str]:
    return json.dumps(value), json.dumps(value, ensure_ascii=False), json.dumps(json.dumps(value))


def _base64(data: bytes) -> Iterator[str]:
    """What is sure to stand in base64 of any text that the value is part of, at each of three alignments.

    The first and last characters also hold bits of the neighbours; without punctuation both alphabets are one,
    so each stretch between `+` and `/` is what remains. Base64 of the value alone, padding and all, is whole.
    """
    yield base64.b64encode(data).decode()
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + data).decode().rstrip("=")
        first = (before * 8 + 5) // 6
        last = (before + len(data)) * 8 // 6
        yield encoded[first:last]


def _by_line(places: list[tuple[int, int]]) -> Iterable[tuple[int, int, int]]:
    """The stretches of one line each: its number, first and last position."""
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for n, at in places:
        first.setdefault(n, at)
        last[n] = at
    return [(n, first[n], last[n]) for n in first]


def _replaced(line: str, spans: list[Span]) -> str:
    parts, done = [], 0
    for start, end, name in spans:
        parts += [line[done:start], f"[secret {name}]"]
        done = end
    return "".join([*parts, line[done:]])
