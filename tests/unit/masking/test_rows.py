from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from pgsnap.errors import CorruptionError
from pgsnap.masking.catalog import ColumnType, Family
from pgsnap.masking.masks import Kind, Rule
from pgsnap.masking.rows import ColumnMask, RowMasker
from pgsnap.masking.values import LONG_BYTES, Mask, mask_of

KEY = b"k" * 32
TAIL = b"\\.\n\n\n"


def mask(rule: Rule, family: Family = Family.TEXT) -> Mask:
    made = mask_of(rule, ColumnType(family), KEY, "UTF8")
    assert made is not None
    return made


def masker(columns: int = 5) -> RowMasker:
    """Hashes the second column, shifts the fourth by the first, and takes the fifth out."""
    masks = {
        1: ColumnMask(mask(Rule(Kind.HASH)), 1),
        3: ColumnMask(mask(Rule(Kind.SHIFT, number=9, by="id"), Family.DATE), 0),
        4: ColumnMask(mask(Rule(Kind.NULL)), 4),
    }
    return RowMasker(columns, masks, "public.t")


def passed(text: bytes, size: Callable[[], int]) -> bytes:
    """Return *text* masked, fed in blocks of sizes that *size* draws."""
    filtered, parts, position = masker(), list[bytes](), 0
    while position < len(text):
        step = size()
        parts += filtered.feed(text[position : position + step])
        position += step
    filtered.finish()
    return b"".join(parts)


def test_what_comes_out_does_not_depend_on_how_blocks_arrive() -> None:
    drawn = random.Random(7)
    rows = []
    for number in range(6000):
        second = drawn.choice((rb"\N", b"", b"x" * drawn.randrange(60), rb"a\\.\n\t", b"\\\\."))
        day = drawn.choice((rb"\N", b"2020-02-29"))
        rows.append(b"%d\t%b\tkept%d\t%b\tsecret\n" % (number, second, number, day))
    # One that is masked piece by piece, and one with a value that is too long to be held.
    long = b"L" * 5_000_000, b"K" * 5_000_000, b"S" * 3_000_000
    rows[77] = b"77\t%b\t%b\t2020-02-29\t%b\n" % long
    rows[78] = b"78\t%b\tkept78\t2020-02-29\tsecret\n" % (b"L" * (LONG_BYTES + 1))
    text = b"".join(rows) + TAIL
    whole = passed(text, lambda: len(text))
    assert whole == passed(text, lambda: drawn.randrange(1, 2_000_000))
    assert whole == passed(text, lambda: drawn.randrange(1, 100_000))
    assert b"secret" not in whole
    assert b"LLLL" not in whole
    assert b"SSSS" not in whole
    lines = whole.split(b"\n")
    assert len(lines) == text.count(b"\n") + 1
    assert whole.endswith(b"\n" + TAIL)
    for number, (before, after) in enumerate(zip(rows, lines, strict=False)):
        old, new = before.rstrip(b"\n").split(b"\t"), after.split(b"\t")
        assert (new[0], new[2], new[4]) == (old[0], old[2], rb"\N"), number
        # NULL stays NULL, and nothing else becomes it.
        assert [new[at] == rb"\N" for at in (1, 3)] == [old[at] == rb"\N" for at in (1, 3)]


@pytest.mark.parametrize(
    "text",
    [
        b"1\ta\tb\t\\N\n" + TAIL,
        b"1\ta\tb\t\\N\tMARK\td\n" + TAIL,
        # The tabs of both are as many as those of two right ones.
        b"1\ta\tb\t\\N\n1\ta\tb\t\\N\tMARK\td\n" + TAIL,
        b"1\ta\tb\tMARK\tc\n" + TAIL,
        # The end is missing.
        b"1\ta\tb\t\\N\tMARK\n",
    ],
)
def test_rows_that_are_not_what_they_should_be_let_nothing_pass(text: bytes) -> None:
    parts: list[bytes] = []

    def take(filtered: RowMasker) -> None:
        parts.extend(filtered.feed(text))
        filtered.finish()

    with pytest.raises(CorruptionError) as raised:
        take(masker())
    assert b"MARK" not in b"".join(parts)
    assert "MARK" not in str(raised.value) + raised.value.detail
