"""Rows that another partition may have to take are given to the topmost table."""

from __future__ import annotations

from itertools import groupby

from pgsnap.dump.events import text_of
from pgsnap.model import SectionKind, SectionName
from pgsnap.targets.load.hashed_rows import by_way_of_roots
from support.dumps.texts import as_events

BEFORE = SectionName(SectionKind.PRE_DATA)
HASHED = b"CREATE TABLE s.top (\n    k s.e[]\n)\nPARTITION BY HASH (k);\n"
HEAD = b'--\n-- Data for Name: le af; Type: TABLE DATA\n--\n\nCOPY s."le\naf" (k, n) FROM stdin;\n'
ROWS = b"{a}\t1\nCOPY s.leaf (k)\n{b}\t2\n\\.\n\n\n"


def data(name: str) -> SectionName:
    return SectionName(SectionKind.DATA, "s", name)


def given(parts: list[tuple[SectionName, bytes]]) -> tuple[bytes, int]:
    """Return the stream as it goes out, and how often it was asked whose rows go where."""
    asked: list[int] = []
    events = [
        event
        for name, own in groupby(parts, lambda pair: pair[0])
        for event in as_events(name, *(block for _, block in own))
    ]

    def ready() -> dict[SectionName, tuple[tuple[str, str], int]]:
        asked.append(1)
        return {data("le\naf"): (("s", 'to"p'), len(HEAD))}

    return b"".join(text_of(by_way_of_roots(events, ready, "UTF8"))), len(asked)


def test_the_copy_statement_names_the_topmost_table_however_the_blocks_are_cut() -> None:
    text = HEAD + ROWS
    leaf, other = data("le\naf"), data("other")
    wanted = text.replace(b'COPY s."le\naf" (k, n)', b'COPY "s"."to""p" (k, n)', 1)
    for cut in range(1, len(text)):
        parts = [(BEFORE, HASHED[:50]), (BEFORE, HASHED[50:])]
        parts += [(leaf, text[:cut]), (leaf, text[cut:]), (other, text)]
        assert given(parts) == (HASHED + wanted + text, 1)


def test_nobody_is_asked_where_no_hash_chooses_partitions() -> None:
    ordinary = HASHED.replace(b"HASH", b"LIST")
    parts = [(BEFORE, ordinary), (data("le\naf"), HEAD + ROWS)]
    assert given(parts) == (ordinary + HEAD + ROWS, 0)
