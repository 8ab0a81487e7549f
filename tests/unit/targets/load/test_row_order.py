"""What is put around the rows of a table so that they keep their order."""

from __future__ import annotations

from itertools import groupby

import pytest

from pgsnap.dump.events import text_of
from pgsnap.model import Section, SectionKind, SectionName
from pgsnap.targets.load.row_order import keep_order, tables_to_keep
from support.dumps.texts import as_events


def section(kind: SectionKind, name: str = "", *, part: int = 0, rows: int | None = 9) -> Section:
    schema = "s" if name else ""
    return Section(SectionName(kind, schema, name, part), 9999, 9, b"", (), rows)


SCHEMA = section(SectionKind.PRE_DATA, rows=None)
LARGE, OTHER = section(SectionKind.DATA, "large"), section(SectionKind.DATA, "other")
END = section(SectionKind.POST_DATA, rows=None)


def kept(
    parts: list[tuple[Section, bytes]], may_empty: set[tuple[str, str]] | None = None
) -> tuple[bytes, int]:
    """Return the stream with what is put into it, and how often the tables were asked for."""
    asked: list[int] = []
    events = [
        event
        for each, own in groupby(parts, lambda pair: pair[0])
        for event in as_events(each.name, *(block for _, block in own))
    ]

    def ready() -> set[tuple[str, str]]:
        asked.append(1)
        return {("s", "large"), ("s", "other")} if may_empty is None else may_empty

    stream = keep_order(events, {("s", "large"), ("s", "other")}, ready, "")
    return b"".join(text_of(stream)), len(asked)


def test_each_table_is_emptied_and_filled_in_a_transaction_of_its_own() -> None:
    parts = [(SCHEMA, b"x\n"), (LARGE, b"l1\n"), (LARGE, b"l2\n"), (OTHER, b"o\n"), (END, b"e\n")]
    assert kept(parts) == (
        b'x\nBEGIN; TRUNCATE ONLY "s"."large"; l1\nl2\n'
        b'COMMIT; BEGIN; TRUNCATE ONLY "s"."other"; o\nCOMMIT; e\n',
        1,
    )


def test_a_table_that_is_not_empty_is_never_emptied() -> None:
    parts = [(LARGE, b"l\n"), (OTHER, b"o\n")]
    assert kept(parts, {("t", "large"), ("s", "oTher")}) == (b"l\no\n", 1)


def test_a_dump_that_changes_its_role_is_passed_on_as_it_is() -> None:
    parts = [(SCHEMA, b"SET SESSION AUTHORIZATION 'bob';\n"), (LARGE, b"l\n"), (END, b"e\n")]
    assert kept(parts) == (b"SET SESSION AUTHORIZATION 'bob';\nl\ne\n", 0)


@pytest.mark.parametrize("second", [1, 0])
def test_a_table_whose_rows_come_in_parts_is_left_alone(second: int) -> None:
    inserts = section(SectionKind.DATA, "large", part=second, rows=None)
    assert tables_to_keep([LARGE, inserts, OTHER]) == {("s", "other")}
