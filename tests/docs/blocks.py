"""The fenced blocks of a Markdown page, and how a page says that one is not to be run as it stands.

An HTML comment on the line before the fence speaks to the tests: `<!-- run: … -->` names what runs the block
instead, `<!-- skip: … -->` gives the reason why nothing does, `<!-- background: … -->` leaves it running. A block
whose fence names a file (```js file=a.js) is written to it.
"""

import re
from pathlib import Path
from typing import NamedTuple

_FENCE = re.compile(
    r"(?:^<!--\s*(?P<mark>\w+):[^\n]*-->\n)?^```(?P<language>\w+)?(?P<rest>[^\n]*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    """A fenced block: its language, its mark, the file it is to be written to, its text."""

    language: str
    mark: str | None
    file: str | None
    text: str


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page that name a language, in order."""
    found = []
    for match in _FENCE.finditer(page.read_text(encoding="utf-8")):
        if match["language"]:
            file = re.search(r"file=(\S+)", match["rest"])
            found.append(Block(match["language"], match["mark"], file and file[1], match["text"]))
    return found
