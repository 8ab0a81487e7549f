"""The output of pg_dumpall --globals-only."""

from __future__ import annotations

import pytest

from pgsnap.dump.globals import GlobalsReader
from pgsnap.errors import DumpIncomplete, UnusableInput
from pgsnap.model import SectionKind, SectionName, VolatileKind
from support.dumps.texts import DUMPS, collect, pieces, together

TEXT = (DUMPS / "globals_15.sql").read_bytes()
KEY = TEXT.split(b"\\restrict ")[1].split()[0].decode()


@pytest.mark.parametrize("size", [1, 7, 100000])
def test_globals_are_one_section_without_the_random_key(size: int) -> None:
    reader = GlobalsReader(pieces(TEXT, size))
    got = collect(reader.events())
    assert [section.name for section in got] == [SectionName(SectionKind.GLOBALS)]
    kinds = [line.kind for line in reader.volatile]
    assert kinds == [VolatileKind.RESTRICT, VolatileKind.UNRESTRICT]
    assert KEY.encode() not in got[0].data
    assert together(got, reader.volatile, KEY) == TEXT


def test_globals_cut_anywhere_are_incomplete() -> None:
    for cut in range(60, TEXT.index(b"cluster dump complete")):
        with pytest.raises(DumpIncomplete):
            collect(GlobalsReader([TEXT[:cut]]).events())


def test_an_end_mark_inside_a_password_does_not_count() -> None:
    mark = b"\n--\n-- PostgreSQL database cluster dump complete\n--\n"
    text = TEXT[: TEXT.rindex(b"--\n-- PostgreSQL")] + b"ALTER ROLE bob PASSWORD '" + mark + b"';\n"
    with pytest.raises(DumpIncomplete, match="no end mark"):
        collect(GlobalsReader([text]).events())


@pytest.mark.parametrize(
    "text",
    [
        b"CREATE ROLE bob;\n",
        TEXT.replace(b"--\n-- Tablespaces", b"\\connect app\n\n--\n-- Tablespaces"),
        TEXT.replace(b"--\n-- Tablespaces", b"COPY t FROM stdin;\n\\.\n--\n-- Tablespaces"),
    ],
)
def test_what_is_not_only_globals_is_refused(text: bytes) -> None:
    with pytest.raises(UnusableInput):
        collect(GlobalsReader([text]).events())
