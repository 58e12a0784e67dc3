"""Identifiers and strings in the texts that the bridge sends without parameters."""

from json.encoder import encode_basestring_ascii


def quoted(name: str) -> str:
    """An SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """An SQL string of ASCII alone: neither standard_conforming_strings nor client_encoding changes its meaning.

    JSON escapes what PostgreSQL's E'' strings read in the same way, surrogate pairs included.
    """
    return "E'" + encode_basestring_ascii(text)[1:-1].replace("'", "''") + "'"
