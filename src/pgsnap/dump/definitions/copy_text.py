"""COPY's text format: the columns of a COPY statement, the values of a row."""

from __future__ import annotations

import re

from pgsnap.dump.definitions.ddl import identifiers
from pgsnap.patterns import regex

_COPY = regex(
    rb"^COPY (?:[^\s(\"]|\"(?:[^\"]|\"\")+\")+ \(((?:[^()\"]|\"(?:[^\"]|\"\")+\")*)\)"
    rb" FROM stdin;\s*\Z",
    re.M,
)
_ESCAPE = regex(rb"\\([0-7]{1,3}|x[0-9A-Fa-f]{1,2}|.)", re.S)
_SPECIAL = regex(rb"[\\\b\f\n\r\t\v]")
_LETTERS = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
_ESCAPES = {b"\\": rb"\\", **{value: b"\\" + letter for letter, value in _LETTERS.items()}}


def copied_columns(head: bytes, encoding: str) -> tuple[str, ...] | None:
    """Return the columns named in the COPY statement at the end of *head*, None if it is not one of
    pg_dump's (which are in text format and name their columns)."""
    match = _COPY.search(head)
    return identifiers(match[1], encoding) if match is not None else None


def values(row: bytes) -> list[bytes | None]:
    """Return the fields of a row (without its line end), NULL as None."""
    return [unescaped(field) for field in row.split(b"\t")]


def unescaped(field: bytes) -> bytes | None:
    """Return the value of a field, NULL as None."""
    return None if field == rb"\N" else without_escapes(field)


def without_escapes(text: bytes) -> bytes:
    """Return a value, or a part of one that cuts no escape, without its escapes."""
    return _ESCAPE.sub(_meant, text) if b"\\" in text else text


def _meant(match: re.Match[bytes]) -> bytes:
    word = match[1]
    if word[:1].isdigit() and word[:1] < b"8":
        return bytes([int(word, 8) & 0xFF])
    if word[:1] == b"x" and len(word) > 1:
        return bytes([int(word[1:], 16)])
    return _LETTERS.get(word, word)


def escaped(value: bytes | None) -> bytes:
    """Return the field that PostgreSQL writes for a value: the inverse of `unescaped`."""
    if value is None:
        return rb"\N"
    return _SPECIAL.sub(lambda match: _ESCAPES[match[0]], value)
