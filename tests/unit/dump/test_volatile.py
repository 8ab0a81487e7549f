"""Volatile lines are put back where they stood, or it is damage."""

from __future__ import annotations

import pytest

from pgsnap.dump.events import text_of
from pgsnap.dump.volatile import fresh_restrict_key, put_back, volatile_kind
from pgsnap.errors import CorruptionError
from pgsnap.model import SectionKind, SectionName, VolatileKind, VolatileLine
from support.dumps.texts import HEAD, KEY, TAIL, as_events, read, together

NAME = SectionName(SectionKind.PREAMBLE)
VERSION_LINE = b"-- Dumped by pg_dump version 15.18\n"


def line(offset: int, kind: VolatileKind, text: bytes) -> VolatileLine:
    return VolatileLine(NAME, offset, kind, text)


def test_a_fresh_key_takes_the_place_of_the_old_one() -> None:
    got, summary = read(HEAD, TAIL)
    fresh = fresh_restrict_key()
    assert together(got, summary.volatile, fresh) == (HEAD + TAIL).replace(KEY, fresh).encode()


def test_without_a_key_the_pair_is_left_out() -> None:
    got, summary = read(HEAD, TAIL)
    want = (HEAD + TAIL).replace(f"\\restrict {KEY}\n", "").replace(f"\\unrestrict {KEY}\n", "")
    assert together(got, summary.volatile, None) == want.encode()


def test_a_fresh_key_is_as_long_as_pg_dumps_and_never_the_same() -> None:
    keys = {fresh_restrict_key() for _ in range(100)}
    assert len(keys) == 100
    assert all(len(key) == 63 and key.isalnum() and key.isascii() for key in keys)


@pytest.mark.parametrize("size", range(1, 8))
def test_lines_go_to_their_offsets_however_blocks_come(size: int) -> None:
    lines = [
        line(0, VolatileKind.RESTRICT, b"\\restrict a\r\n"),
        line(3, VolatileKind.VERSION, VERSION_LINE),
        line(3, VolatileKind.VERSION, VERSION_LINE),
        line(6, VolatileKind.UNRESTRICT, b"\\unrestrict a\n"),
        VolatileLine(SectionName(SectionKind.TRAILER), 1, VolatileKind.VERSION, VERSION_LINE),
    ]
    blocks = [b"abcdef"[at : at + size] for at in range(0, 6, size)]
    want = b"\\restrict K\r\nabc" + VERSION_LINE * 2 + b"def\\unrestrict K\n"
    assert b"".join(text_of(put_back(as_events(NAME, *blocks), lines, "K"))) == want


@pytest.mark.parametrize("offsets", [[4], [-1], [2, 1]])
def test_a_line_without_a_place_is_damage(offsets: list[int]) -> None:
    lines = [line(offset, VolatileKind.VERSION, VERSION_LINE) for offset in offsets]
    with pytest.raises(CorruptionError):
        list(put_back(as_events(NAME, b"abc"), lines, None))


@pytest.mark.parametrize(
    "text", [b"DROP TABLE t;\n", VERSION_LINE + b"\\! ls\n", VERSION_LINE[:-1]]
)
def test_a_line_that_pg_dump_does_not_write_is_damage(text: bytes) -> None:
    with pytest.raises(CorruptionError):
        list(put_back(as_events(NAME, b"abc"), [line(0, VolatileKind.VERSION, text)], None))


@pytest.mark.parametrize(
    ("text", "want"),
    [
        (b"\\restrict abc\n", VolatileKind.RESTRICT),
        (b"\\unrestrict abc\r\n", VolatileKind.UNRESTRICT),
        (b"-- Dumped from database version 15.18 (Debian 1)\n", VolatileKind.VERSION),
        (b"\\restrict\n", None),
        (b"\\restrict a b\n", None),
        (b" \\restrict a\n", None),
        (b"-- Dumped by me\n", None),
    ],
)
def test_only_pg_dumps_own_lines_are_volatile(text: bytes, want: VolatileKind | None) -> None:
    assert volatile_kind(text) is want
