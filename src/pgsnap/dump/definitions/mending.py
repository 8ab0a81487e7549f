"""Fixes definitions that fail as pg_dump writes them, on their way to psql.

pg_dump does not write the type of an identity column's sequence. One that was made wider than its
column (``ALTER SEQUENCE … AS bigint``) has bounds or a value in the dump that a sequence of the
column's type rejects. It gets the smallest type that can have them: beyond integer's range there is
only one, and for a smallint column it makes no difference which of the others it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from pgsnap.dump.entries import encode

_NAME = rb'(?:"(?:[^"]|"")+"|[^\s,.;()"]+)'
_IDENTITY = re.compile(
    rb"ALTER TABLE (?:ONLY )?(?P<column>%b\.%b ALTER COLUMN %b)"
    rb" ADD GENERATED (?:ALWAYS|BY DEFAULT) AS IDENTITY \(\n"
    rb"    SEQUENCE NAME (?P<name>%b\.%b)\n(?:    [^\n]*\n)*\);" % ((_NAME,) * 5)
)
_TABLE = re.compile(rb"^CREATE (?:UNLOGGED )?TABLE (%b\.%b) \(\n" % (_NAME, _NAME), re.M)
_SMALL = re.compile(rb"^    (%b) smallint\b" % _NAME, re.M)
_BOUND = re.compile(rb"^    (?P<what>START WITH|MINVALUE|MAXVALUE) (?P<value>-?\d+)\n", re.M)
_SETVAL = re.compile(
    rb"^SELECT pg_catalog\.setval\('(?P<name>(?:[^']|'')+)', (?P<value>-?\d+), (?:true|false)\);",
    re.M,
)
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
