"""Definitions that pg_dump writes so that they cannot be made, put right on their way to psql.

pg_dump says nothing of the type of an identity column's sequence. One that was made wider than its
column (``ALTER SEQUENCE … AS bigint``) has bounds or a value in the dump that a sequence of the
column's type refuses. Beyond integer's range there is but one type that it can have had.
"""

from __future__ import annotations

import re

_NAME = rb'(?:"(?:[^"]|"")+"|[^\s,.;()"]+)'
_IDENTITY = re.compile(
    rb"ALTER TABLE [^\n]* ADD GENERATED (?:ALWAYS|BY DEFAULT) AS IDENTITY \(\n"
    rb"    SEQUENCE NAME (?P<name>%b\.%b)\n(?:    [^\n]*\n)*\);" % (_NAME, _NAME)
)
_BOUND = re.compile(rb"^    (?P<what>START WITH|MINVALUE|MAXVALUE) (?P<value>-?\d+)\n", re.M)
_SETVAL = re.compile(
    rb"^SELECT pg_catalog\.setval\('(?P<name>(?:[^']|'')+)', (?P<value>-?\d+), (?:true|false)\);",
    re.M,
)
_INTEGER_MAX = 2**31 - 1


def wide_identity(text: bytes) -> bytes:
    """Return the text of an identity column's entry so that its sequence may have its bounds."""
    found = _IDENTITY.search(text)
    if found is None:
        return text
    statement = found[0]
    bounds = list(_BOUND.finditer(statement))
    if not any(is_wide(int(bound["value"])) for bound in bounds):
        return text
    # The sequence begins anew from its start; its value is set behind the rows.
    wide = b" ".join(b"%b %b" % (bound["what"], bound["value"]) for bound in bounds)
    narrow = _BOUND.sub(b"", statement)
    again = b" ALTER SEQUENCE %b AS bigint %b RESTART;" % (found["name"], wide)
    # On the lines that it had: what follows keeps its place in the dump.
    mended = narrow + again + b"\n" * (statement.count(b"\n") - narrow.count(b"\n"))
    return text.replace(statement, mended, 1)


def wide_values(text: bytes) -> bytes:
    """Return whole lines of the sequences' values so that each sequence may have its own."""

    def widened(match: re.Match[bytes]) -> bytes:
        if not is_wide(int(match["value"])):
            return match[0]
        name = match["name"].replace(b"''", b"'")
        return b"ALTER SEQUENCE %b AS bigint; %b" % (name, match[0])

    return _SETVAL.sub(widened, text)


def is_wide(value: int) -> bool:
    """Tell whether only a sequence of type bigint can have *value*."""
    return not -_INTEGER_MAX - 1 <= value <= _INTEGER_MAX
