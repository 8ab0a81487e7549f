"""Generated columns whose values are drawn from sequences, which a dump cannot reproduce.

PostgreSQL accepts a function that is declared immutable but is not. The server parses an SQL
function as soon as a table's column calls it, so the sequence must exist by then; pg_dump, which
does not look into bodies, may create it later. The same holds if the function calls another that
draws.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from pgsnap.dump.entries import Entry, decode
from pgsnap.patterns import regex
from pgsnap.values import dataclass

GENERATED = b" GENERATED ALWAYS AS ("
_NAME = rb'(?:"(?:[^"]|"")+"|[^\s,.;()\'"]+)'
_COLUMN = regex(rb"^ {4}(%b) [^\n]*?%b(.*?)\) STORED" % (_NAME, re.escape(GENERATED)), re.M | re.S)
_CALL = regex(rb"(%b\.%b)\(" % (_NAME, _NAME))
# A call in a body, to a function in any schema of the search path.
_BARE_CALL = regex(rb"(?<![\w.\"$])([A-Za-z_\x80-\xff][\w$\x80-\xff]*)\s*\(")
_FUNCTION = regex(rb"^CREATE FUNCTION (%b\.%b)\(" % (_NAME, _NAME), re.M)
_SEQUENCE = regex(rb"^CREATE (?:UNLOGGED )?SEQUENCE (%b\.%b)$" % (_NAME, _NAME), re.M)
_TABLE = regex(rb"^CREATE (?:UNLOGGED |FOREIGN )?TABLE (%b\.%b)" % (_NAME, _NAME), re.M)
_DRAWS = regex(rb"\bnextval\b", re.I)
_COMMENT = regex(rb"--[^\n]*|/\*.*?\*/", re.S)
_DRAWN = regex(rb"\bnextval\s*\(\s*'([^']+)'", re.I)
# The server only looks into an SQL body given as text that runs with its caller's rights and
# settings; and within another function only into one declared immutable, as whatever a column calls
# must be.
_LOOKED_INTO = regex(rb"\n    LANGUAGE sql\b(?=[^\n]* IMMUTABLE\b)(?![^\n]* SECURITY DEFINER)")
_OWN_SETTINGS = regex(rb"^    SET ", re.M)


@dataclass(frozen=True, slots=True)
class DrawnColumn:
    """A generated column and the function that draws its values. *later* is the sequence that the
    dump creates after the table although the server needs it before, "" if there is none."""

    column: str
    function: str
    later: str


def drawn_columns(entries: Iterable[tuple[Entry, bytes]], encoding: str) -> tuple[DrawnColumn, ...]:
    """Return the generated columns of a section of definitions that draw from sequences."""
    functions = _Functions()
    made: dict[bytes, int] = {}
    found: list[tuple[int, bytes, bytes]] = []
    for position, (entry, text) in enumerate(entries):
        if entry.type == b"FUNCTION" and (function := _FUNCTION.search(text)) is not None:
            functions.add(function[1], text)
        elif entry.type == b"SEQUENCE" and (sequence := _SEQUENCE.search(text)) is not None:
            made[sequence[1]] = position
        elif entry.type == b"TABLE" and (table := _TABLE.search(text)) is not None:
            for column, expression in _COLUMN.findall(text):
                calls = dict.fromkeys(_CALL.findall(expression))
                found += [(position, b"%b.%b" % (table[1], column), call) for call in calls]
    drawn = {call: functions.drawn_by(call) for _, _, call in found}
    return tuple(
        DrawnColumn(
            decode(column, encoding),
            decode(call, encoding),
            decode(_later(sequences, made, position), encoding),
        )
        for position, column, call in found
        if (sequences := drawn[call]) is not None
    )


@dataclass(slots=True)
class _Function:
    """What is known about the functions of one name. *sequences* are those that the server needs as
    soon as a column calls it, *is_looked_into* whether the server looks into its body."""

    draws: bool
    sequences: frozenset[bytes]
    calls: frozenset[bytes]
    bare_calls: frozenset[bytes]
    is_looked_into: bool


class _Functions:
    """The functions of a dump, and which call which."""

    def __init__(self) -> None:
        self._by_name: dict[bytes, _Function] = {}
        self._by_bare_name: dict[bytes, list[bytes]] = {}

    def add(self, name: bytes, text: bytes) -> None:
        body = _COMMENT.sub(b"", text)
        new = _Function(
            bool(_DRAWS.search(text)),
            _surely_drawn(text),
            frozenset(_CALL.findall(body)) - {name},
            frozenset(_BARE_CALL.findall(body)),
            bool(_LOOKED_INTO.search(text)) and not _OWN_SETTINGS.search(text),
        )
        if (other := self._by_name.get(name)) is not None:
            # With several functions of one name it is unknown which one is called.
            new.draws |= other.draws
            new.sequences, new.is_looked_into = frozenset(), False
            new.calls |= other.calls
            new.bare_calls |= other.bare_calls
        else:
            self._by_bare_name.setdefault(name.rpartition(b".")[2].lower(), []).append(name)
        self._by_name[name] = new

    def drawn_by(self, name: bytes) -> frozenset[bytes] | None:
        """Return the sequences that the server certainly needs if a column calls *name*, None if
        neither that nor anything it calls draws from any."""
        draws = False
        sequences: frozenset[bytes] = frozenset()
        seen = set()
        # Names, each with whether the server looks into all functions on the call path to it.
        waiting = [(name, True)]
        while waiting:
            each = waiting.pop()
            function = self._by_name.get(each[0])
            if each in seen or function is None:
                continue
            seen.add(each)
            draws |= function.draws
            is_sure = each[1] and function.is_looked_into
            if is_sure:
                sequences |= function.sequences
            waiting += [(call, is_sure) for call in function.calls]
            for bare in function.bare_calls:
                waiting += [(one, False) for one in self._by_bare_name.get(bare.lower(), ())]
        return sequences if draws else None


def _surely_drawn(text: bytes) -> frozenset[bytes]:
    """Return the sequences that the server needs as soon as a column calls the function."""
    if not _LOOKED_INTO.search(text) or _OWN_SETTINGS.search(text):
        return frozenset()
    return frozenset(_DRAWN.findall(_COMMENT.sub(b"", text)))


def _later(sequences: Iterable[bytes], made: Mapping[bytes, int], table: int) -> bytes:
    return next((name for name in sorted(sequences) if made.get(name, -1) > table), b"")
