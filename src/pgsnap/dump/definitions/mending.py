"""Fixes definitions that fail as pg_dump writes them, on their way to psql.

pg_dump does not write the type of an identity column's sequence. One that was made wider than its
column (``ALTER SEQUENCE … AS bigint``) has bounds or a value in the dump that a sequence of the
column's type rejects. It gets the smallest type that can have them: beyond integer's range there is
only one, and for a smallint column it makes no difference which of the others it is.

``CYCLE id SET mark TO 'y' DEFAULT 'n' USING path`` takes constants. The server keeps them with
their type and shows them with a cast, ``'y'::text``: an expression, so a syntax error. The same
constant is ``text 'y'``. There is no such notation for arrays, which stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from pgsnap.dump.entries import encode
from pgsnap.patterns import regex

_NAME = rb'(?:"(?:[^"]|"")+"|[^\s,.;()"]+)'
_IDENTITY = regex(
    rb"ALTER TABLE (?:ONLY )?(?P<column>%b\.%b ALTER COLUMN %b)"
    rb" ADD GENERATED (?:ALWAYS|BY DEFAULT) AS IDENTITY \(\n"
    rb"    SEQUENCE NAME (?P<name>%b\.%b)\n(?:    [^\n]*\n)*\);" % ((_NAME,) * 5)
)
_TABLE = regex(rb"^CREATE (?:UNLOGGED )?TABLE (%b\.%b) \(\n" % (_NAME, _NAME), re.M)
_SMALL = regex(rb"^    (%b) smallint\b" % _NAME, re.M)
_BOUND = regex(rb"^    (?P<what>START WITH|MINVALUE|MAXVALUE) (?P<value>-?\d+)\n", re.M)
_SETVAL = regex(
    rb"^SELECT pg_catalog\.setval\('(?P<name>(?:[^']|'')+)', (?P<value>-?\d+), (?:true|false)\);",
    re.M,
)
MARKED_TYPES = frozenset(
    (b"VIEW", b"MATERIALIZED VIEW", b"RULE", b"POLICY", b"FUNCTION", b"PROCEDURE")
)
"""The types of entries with queries that the server has parsed, and shows in its own words."""

_STRING = rb"'(?:[^']|'')*'"
_VALUE = rb"(?:[EBX]?%b|[^\s':]+)" % _STRING
_TYPE = rb'(?:::(?:"(?:[^"]|"")+"|[^"\':;])+?)?'
_MARKS = regex(
    rb"(?P<set> CYCLE %(name)b(?:, %(name)b)* SET %(name)b)"
    rb" TO (?P<mark>%(value)b)(?P<type>%(type)b)"
    rb" DEFAULT (?P<default>%(value)b)(?P<default_type>%(type)b)(?= USING )"
    % {b"name": _NAME, b"value": _VALUE, b"type": _TYPE}
)
# What has no clauses in it. The header of an entry is a comment.
_CLOSED = regex(rb'--[^\n]*|"(?:[^"]|"")*"|%b' % _STRING)
# A body that the server has not parsed, and that nobody may change.
_BODY = regex(rb"^ +AS [$']", re.M)
_INTERVAL = regex(rb"(interval)( [a-z].*)")
_INTEGER_MAX = 2**31 - 1
_SMALLINT_MAX = 2**15 - 1


class Identities:
    """The identity columns of a dump, whose entries must be passed in its order."""

    def __init__(self) -> None:
        # Columns of type smallint, and the sequences of such columns that are no wider than
        # integer.
        self._small_columns: set[bytes] = set()
        self._small: set[bytes] = set()

    @classmethod
    def of(cls, texts: Iterable[str]) -> Identities:
        """Return the identity columns in *texts*, which must be complete."""
        found = cls()
        for text in texts:
            found.see_table(encode(text, "UTF8"))
            found.mended(encode(text, "UTF8"))
        return found

    def see_table(self, text: bytes) -> None:
        """Record the columns of a table's entry."""
        made = _TABLE.search(text)
        if made is not None:
            self._small_columns.update(
                b"%b ALTER COLUMN %b" % (made[1], column) for column in _SMALL.findall(text)
            )

    def mended(self, text: bytes) -> bytes:
        """Return an identity column's entry, changed so that its sequence accepts its bounds."""
        found = _IDENTITY.search(text)
        if found is None:
            return text
        statement = found[0]
        bounds = list(_BOUND.finditer(statement))
        if found["column"] in self._small_columns:
            self._small.add(found["name"])
        types = {self.type_for(found["name"], int(bound["value"])) for bound in bounds} - {b""}
        if not types:
            return text
        kind = b"bigint" if b"bigint" in types else b"integer"
        if kind == b"bigint":
            self._small.discard(found["name"])
        # The sequence restarts from its start; its value is set after the rows.
        wide = b" ".join(b"%b %b" % (bound["what"], bound["value"]) for bound in bounds)
        narrow = _BOUND.sub(b"", statement)
        again = b" ALTER SEQUENCE %b AS %b %b RESTART;" % (found["name"], kind, wide)
        # With the same number of lines: what follows keeps its line number in the dump.
        mended = narrow + again + b"\n" * (statement.count(b"\n") - narrow.count(b"\n"))
        return text.replace(statement, mended, 1)

    def wide_values(self, text: bytes) -> bytes:
        """Return lines of the sequences' values, changed so that each sequence accepts its
        value."""

        def widened(match: re.Match[bytes]) -> bytes:
            name = match["name"].replace(b"''", b"'")
            kind = self.type_for(name, int(match["value"]))
            return b"ALTER SEQUENCE %b AS %b; %b" % (name, kind, match[0]) if kind else match[0]

        return _SETVAL.sub(widened, text)

    def type_for(self, name: bytes, value: int) -> bytes:
        """Return the type that the sequence *name* needs for *value*, b"" if it has that."""
        if not -_INTEGER_MAX - 1 <= value <= _INTEGER_MAX:
            return b"bigint"
        if name in self._small and not -_SMALLINT_MAX - 1 <= value <= _SMALLINT_MAX:
            return b"integer"
        return b""


def with_constant_marks(text: bytes) -> bytes:
    """Return an entry of one of the MARKED_TYPES with marks of cycles that the server can read."""
    if b" CYCLE " not in text or _BODY.search(text):
        return text
    closed = [found.span() for found in _CLOSED.finditer(text)]

    def constant(match: re.Match[bytes]) -> bytes:
        if any(start < match.start() < end for start, end in closed):
            return match[0]
        mark = _constant(match["mark"], match["type"])
        default = _constant(match["default"], match["default_type"])
        return b"%b TO %b DEFAULT %b" % (match["set"], mark, default)

    return _MARKS.sub(constant, text)


def _constant(value: bytes, cast: bytes) -> bytes:
    """Return the constant for the expression that is made of *value* and *cast*."""
    kind = cast.removeprefix(b"::")
    if not kind or kind.endswith(b"]"):
        return value + cast
    if not value.endswith(b"'") or value[:1] in (b"B", b"X"):
        # NULL, or bits.
        return value
    if fields := _INTERVAL.fullmatch(kind):
        return fields[1] + b" " + value + fields[2]
    return kind + b" " + value
