"""Rows that another partition may have to take are given to the topmost table."""

from __future__ import annotations

from pgsnap.model import Section, SectionKind, SectionName
from pgsnap.targets.load.hashed_rows import by_way_of_roots

BEFORE = Section(SectionName(SectionKind.PRE_DATA), 9999, 9, b"", (), None)
HASHED = b"CREATE TABLE s.top (\n    k s.e[]\n)\nPARTITION BY HASH (k);\n"
HEAD = b'--\n-- Data for Name: le af; Type: TABLE DATA\n--\n\nCOPY s."le\naf" (k, n) FROM stdin;\n'
ROWS = b"{a}\t1\nCOPY s.leaf (k)\n{b}\t2\n\\.\n\n\n"


def data(name: str) -> Section:
    size = len(HEAD) + len(ROWS)
    return Section(
        SectionName(SectionKind.DATA, "s", name), size, 9, b"", (), 2, head_bytes=len(HEAD)
    )


def given(parts: list[tuple[Section, bytes]]) -> tuple[bytes, int]:
    """Return the stream as it goes out, and how often it was asked whose rows go where."""
    current: list[Section] = []
    asked: list[int] = []

    def blocks():  # type: ignore[no-untyped-def]
        for each, block in parts:
            current[:] = [each]
            yield block

    def ready() -> dict[tuple[str, str], tuple[str, str]]:
        asked.append(1)
        return {("s", "le\naf"): ("s", 'to"p')}

    return b"".join(by_way_of_roots(blocks(), lambda: current[0], ready, "UTF8")), len(asked)


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
