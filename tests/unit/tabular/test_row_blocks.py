from __future__ import annotations

import random

from pgsnap.tabular.row_blocks import row_blocks, row_bytes

HEAD = b"--\n-- Data\n--\n\nCOPY t (a) FROM stdin;\n"
TAIL = b"\\.\n\n\n"


def cut(chance: random.Random, text: bytes) -> list[bytes]:
    places = sorted(chance.randrange(len(text) + 1) for _ in range(chance.randrange(12)))
    return [text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True)]


def test_rows_come_whole_without_head_and_tail_however_the_text_is_cut() -> None:
    chance = random.Random(1)
    for _ in range(500):
        rows = [bytes([97 + chance.randrange(9)]) * chance.choice((0, 1, 5, 40)) for _ in range(9)]
        rows = rows[: chance.randrange(10)]
        text = b"".join(row + b"\n" for row in rows)
        pieces = row_bytes(cut(chance, HEAD + text + TAIL), len(HEAD), len(TAIL))
        blocks = list(row_blocks(pieces, block_bytes=16))
        assert b"".join(blocks) == text
        assert all(block.endswith(b"\n") for block in blocks)


def test_a_long_row_is_a_block_of_its_own() -> None:
    short, long = b"a\n" * 5, b"b" * 100 + b"\n"
    pieces = [short, *(long[at : at + 10] for at in range(0, 90, 10)), long[90:] + short, long]
    assert list(row_blocks(pieces, block_bytes=16)) == [short, long, short + long]
    assert list(row_blocks([short + long[:50], long[50:]], block_bytes=16)) == [short, long]
