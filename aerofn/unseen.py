"""Characters that nobody sees: in what users wrote they are named, never put out, on pages and at terminals.

They move the cursor, colour, clear or rename a terminal; or they turn the direction of text around or have no width, so
that a name shows as another.
"""

import json
import re
import unicodedata

# Not the two joiners, of which emoji and some scripts are made; nor tab and line feed.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\U000e0000-\U000e007f]"
)


def named(text: str) -> str:
    """The text with its unseen characters named."""
    return text if text.isprintable() else _UNSEEN.sub(_name, text)


def escaped(document: str) -> str:
    """The JSON document with its unseen characters escaped, which is the same document."""
    return document if document.isprintable() else _UNSEEN.sub(_escape, document)


def _name(found: re.Match[str]) -> str:
    character = found[0]
    if ord(character) < 32:
        return chr(0x2400 + ord(character))
    return f"⟨{unicodedata.name(character, f'U+{ord(character):04X}')}⟩"


def _escape(found: re.Match[str]) -> str:
    return json.dumps(found[0])[1:-1]
