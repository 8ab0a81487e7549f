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

    stream = keep_order(events, {("s", "large"): 0, ("s", "other"): 0}, ready, "")
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
    assert tables_to_keep([LARGE, inserts, OTHER]) == {("s", "other"): 0}


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_the_copy_statement_freezes_the_rows_however_its_text_is_cut(cut: int) -> None:
    head = b'--\n-- Data\n--\n\nCOPY s.large (a, " FROM stdin;\n") FROM stdin;\n'
    text = head + b"1\t FROM stdin;\n\\.\n\n"
    events = as_events(LARGE.name, *(text[at : at + cut] for at in range(0, len(text), cut)))
    wanted = {("s", "large"): len(head)}
    stream = keep_order(events, wanted, lambda: {("s", "large")}, "utf-8")
    frozen = head.removesuffix(b";\n") + b" WITH (FREEZE);\n" + text[len(head) :]
    assert b"".join(text_of(stream)) == (
        b'BEGIN; TRUNCATE ONLY "s"."large"; ' + frozen + b"COMMIT; "
    )


def test_a_head_of_another_form_is_passed_on_as_it_is() -> None:
    events = as_events(LARGE.name, b"COPY s.large FROM stdin CSV;\n", b"1\n\\.\n")
    stream = keep_order(events, {("s", "large"): 29}, lambda: {("s", "large")}, "utf-8")
    assert b"FREEZE" not in b"".join(text_of(stream))
