"""Generated columns whose values are drawn from sequences: not what a dump can bring back.

PostgreSQL lets in a function that says it is immutable and is not. The server looks into a function
in SQL as soon as a table's column calls it, so the sequence has to be there by then; pg_dump, which
does not look into bodies, may make it later.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pgsnap.dump.entries import Entry, decode

GENERATED = b" GENERATED ALWAYS AS ("
_NAME = rb'(?:"(?:[^"]|"")+"|[^\s,.;()\'"]+)'
_COLUMN = re.compile(
    rb"^ {4}(%b) [^\n]*?%b(.*?)\) STORED" % (_NAME, re.escape(GENERATED)), re.M | re.S
)
_CALL = re.compile(rb"(%b\.%b)\(" % (_NAME, _NAME))
_FUNCTION = re.compile(rb"^CREATE FUNCTION (%b\.%b)\(" % (_NAME, _NAME), re.M)
_SEQUENCE = re.compile(rb"^CREATE (?:UNLOGGED )?SEQUENCE (%b\.%b)$" % (_NAME, _NAME), re.M)
_TABLE = re.compile(rb"^CREATE (?:UNLOGGED |FOREIGN )?TABLE (%b\.%b)" % (_NAME, _NAME), re.M)
_DRAWS = re.compile(rb"\bnextval\b", re.I)
_COMMENT = re.compile(rb"--[^\n]*|/\*.*?\*/", re.S)
_DRAWN = re.compile(rb"\bnextval\s*\(\s*'([^']+)'", re.I)
# Only a body in SQL, as text, that runs with its caller's rights and settings is looked into.
_LOOKED_INTO = re.compile(rb"\n    LANGUAGE sql\b(?![^\n]* SECURITY DEFINER)")
_OWN_SETTINGS = re.compile(rb"^    SET ", re.M)


@dataclass(frozen=True, slots=True)
class DrawnColumn:
    """A generated column and the function that draws its values. *later* is the sequence that the
    dump makes behind the table although the server asks for it there, "" where there is none."""

    column: str
    function: str
    later: str


def drawn_columns(entries: Iterable[tuple[Entry, bytes]], encoding: str) -> tuple[DrawnColumn, ...]:
    """Return the generated columns of a section of definitions that draw from sequences."""
    drawing: dict[bytes, frozenset[bytes]] = {}
    functions: set[bytes] = set()
    made: dict[bytes, int] = {}
    found: list[tuple[int, bytes, bytes]] = []
    for number, (entry, text) in enumerate(entries):
        if entry.type == b"FUNCTION" and (function := _FUNCTION.search(text)) is not None:
            name = function[1]
            # Of functions of one name it is not known which one is called.
            is_only = name not in functions
            functions.add(name)
            if _DRAWS.search(text):
                drawing[name] = _surely_drawn(text, is_only=is_only)
            elif name in drawing:
                drawing[name] = frozenset()
        elif entry.type == b"SEQUENCE" and (sequence := _SEQUENCE.search(text)) is not None:
            made[sequence[1]] = number
        elif entry.type == b"TABLE" and (table := _TABLE.search(text)) is not None:
            for column, expression in _COLUMN.findall(text):
                calls = dict.fromkeys(_CALL.findall(expression))
                found += [(number, b"%b.%b" % (table[1], column), call) for call in calls]
    return tuple(
        DrawnColumn(
            decode(column, encoding),
            decode(call, encoding),
            decode(_later(drawing[call], made, number), encoding),
        )
        for number, column, call in found
        if call in drawing
    )


def _surely_drawn(text: bytes, *, is_only: bool) -> frozenset[bytes]:
    """Return the sequences that the server asks for as soon as a column calls the function."""
    is_looked_into = bool(_LOOKED_INTO.search(text)) and not _OWN_SETTINGS.search(text)
    if not (is_only and is_looked_into):
        return frozenset()
    return frozenset(_DRAWN.findall(_COMMENT.sub(b"", text)))


def _later(sequences: Iterable[bytes], made: Mapping[bytes, int], table: int) -> bytes:
    return next((name for name in sorted(sequences) if made.get(name, -1) > table), b"")
