"""Leaves depend on the text alone, and are found again from the former ones and what changed."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from functools import cache, partial

import numpy as np
import pytest
from blake3 import blake3

from pgsnap.chunking import leaves
from pgsnap.chunking.expected import Expected
from pgsnap.chunking.leaf_updates import Edit, update_leaves
from pgsnap.chunking.leaves import (
    ROW_BYTES_MAX,
    Leaf,
    LeafCutter,
    LeafDigester,
    LeafTree,
    leaf_ends_of_rows,
    several_leaves,
)
from pgsnap.chunking.row_hash import PAIR_BYTES, RowHash, UnalignedWords
from pgsnap.chunking.rows import Chunk, RowChunker
from pgsnap.model import PLAIN_NAMES, ChunkerKeys, ChunkerParams, RecipeEntry

M = 262_144


def cut(text: bytes, sizes: Iterator[int] | None = None) -> list[Leaf]:
    """Return the leaves of *text*, which arrives in blocks of these *sizes*."""
    cutter, found, place = LeafCutter(), list[Leaf](), 0
    while place < len(text):
        size = next(sizes) if sizes is not None else len(text)
        found += cutter.feed(text[place : place + size])
        place += size
    return found + cutter.finish()


def by_the_book(text: bytes) -> list[Leaf]:
    """Return the leaves as docs/format.md defines them, row by row."""
    found, leaf = [], b""
    hasher, margin = RowHash(0), bytes(PAIR_BYTES)

    @cache
    def hashed(row: bytes) -> int:
        buffer = np.frombuffer(margin + row + margin, np.uint8)
        start = np.array([PAIR_BYTES])
        (h,) = hasher.sampled(UnalignedWords(buffer), start, start + len(row) - 1).tolist()
        return int(h)

    for row in text.splitlines(keepends=True) if b"\r" not in text else []:
        leaf += row
        if not row.endswith(b"\n"):
            break
        w = min(len(row), 2 * M)
        if (hashed(row) >> 32) * (w + 2 * M) < w << 33:
            found.append(Leaf(len(leaf), blake3(leaf).digest()))
            leaf = b""
    return [*found, Leaf(len(leaf), blake3(leaf).digest())] if leaf else found


def table(chance: random.Random, rows: int, most: int = 200) -> bytes:
    """Return rows of letters, whose lengths vary."""
    letters = bytes(chance.choices(range(97, 123), k=most + 1000))
    parts = []
    for number in range(rows):
        start = chance.randrange(1000)
        parts.append(b"%d\t%b\n" % (number, letters[start : start + chance.randrange(most)]))
    return b"".join(parts)


def blocks(chance: random.Random) -> Iterator[int]:
    while True:
        yield chance.choice((1, 7, 100, 8192, 65536, 700_000, 5_000_000))


TEXTS = {
    "nothing": b"",
    "a row": b"one\n",
    "no line end": b"no line end",
    "short rows": table(random.Random(1), 30_000),
    "long rows": table(random.Random(2), 300, 40_000),
    "huge rows": b"".join(bytes([97 + n]) * n * (ROW_BYTES_MAX // 4) + b"\n" for n in range(12)),
    "just chosen": (b"x" * (ROW_BYTES_MAX - 1) + b"\n") * 3,
    "just not": (b"x" * (ROW_BYTES_MAX - 2) + b"\n") * 3,
    "no last line end": table(random.Random(3), 20_000) + b"\\.",
    "one long line": b"y" * 3_000_000,
    "line ends": b"\n" * 600_000,
}


@pytest.mark.parametrize("name", TEXTS)
def test_leaves_are_those_of_the_specification_however_the_text_arrives(name: str) -> None:
    text = TEXTS[name]
    expected = by_the_book(text)
    assert cut(text) == expected
    for seed in range(4):
        assert cut(text, blocks(random.Random(seed))) == expected
    assert sum(leaf.plain_bytes for leaf in expected) == len(text)


def test_rows_of_twice_the_mean_size_are_always_chosen_whatever_they_hold() -> None:
    for letter in b"abc\0":
        text = (bytes([letter]) * (ROW_BYTES_MAX - 1) + b"\n") * 5
        assert [leaf.plain_bytes for leaf in cut(text)] == [ROW_BYTES_MAX] * 5


def test_leaves_have_the_intended_size_on_average() -> None:
    for seed, most in ((1, 30), (2, 300), (3, 30_000)):
        text = table(random.Random(seed), 24_000_000 // most, most)
        assert M / 1.7 < len(text) / len(cut(text)) < 1.7 * M


def test_the_digest_of_a_text_of_one_leaf_is_its_hash_and_golden_digests_stay() -> None:
    digester = LeafDigester()
    found = {}
    for name, text in TEXTS.items():
        digester.update(text)
        digest, listed = digester.finish()
        assert (digest == blake3(text).digest()) == (len(listed) <= leaves.STORED_BYTES)
        assert list(leaves.decode_leaves(listed)) == cut(text)
        found[name] = digest.hex()[:16]
    assert found == GOLDEN


GOLDEN = {
    "nothing": "af1349b9f5f9a1a6",
    "a row": "e0e63aa4c8e1ed79",
    "no line end": "64c30e13acc874af",
    "short rows": "1caf70d13e35487f",
    "long rows": "5ae4100728892713",
    "huge rows": "d50fcebdc4e04de3",
    "just chosen": "96e43a92f03506f6",
    "just not": "78469acaefc42ca6",
    "no last line end": "c4a65b7c0b65cda9",
    "one long line": "1e1f7b4c03484872",
    "line ends": "6c6c97193d99dfb4",
}


def test_the_tree_is_that_of_the_specification() -> None:
    chance = random.Random(5)
    for count in (2, 3, 63, 64, 65, 1000, 20_000):
        level = [Leaf(chance.randrange(1, 10**6), chance.randbytes(32)) for _ in range(count)]
        if count == 3:
            # Every one of them ends a node.
            level = [Leaf(size, bytes(4) + rest[4:]) for size, rest in level]
        tree = LeafTree()
        for leaf in level:
            tree.add(leaf)
        while len(level) > 1:
            nodes, node = [], list[Leaf]()
            for number, entry in enumerate(level):
                node.append(entry)
                if int.from_bytes(entry.hash[:4], "little") % 64 == 0 or number == len(level) - 1:
                    hasher = blake3(derive_key_context="snap section leaves 1")
                    for size, name in node:
                        hasher.update(struct.pack("<Q", size) + name)
                    nodes.append(Leaf(sum(size for size, _ in node), hasher.digest()))
                    node = []
            level = nodes
        assert tree.digest() == level[0].hash


def test_short_texts_with_several_leaves_are_found_among_many() -> None:
    chance = random.Random(6)
    texts = [table(chance, chance.randrange(700), 120) for _ in range(400)]
    texts += [b"", b"\n", b"no line end", texts[3] + b"no line end"]
    several = {number for number, text in enumerate(texts) if len(cut(text)) > 1}
    assert 5 < len(several) < 100
    assert several_leaves(texts) == several
    assert several_leaves([]) == set()


def changed(text: bytes, chance: random.Random) -> tuple[bytes, list[Edit]]:
    """Return *text* with some changes, and these."""
    parts, edits, place = [], list[Edit](), 0
    for start in sorted(
        chance.sample(range(len(text) + 1), min(len(text) + 1, chance.choice((1, 2, 9))))
    ):
        if start < place:
            continue
        size = min(chance.choice((0, 1, 50, 3000, 400_000)), len(text) - start)
        if edits and start == place and not (size or edits[-1][1]):
            continue
        new = b""
        if kind := chance.randrange(5):
            new = table(chance, chance.choice((1, 20, 2000)), 90)
            new = (
                new,
                new.replace(b"\n", b""),
                b"z" * chance.choice((1, 600_000)) + b"\n",
                new[:-1],
            )[kind - 1]
        ends = None
        if new[-1:] in (b"", b"\n") and chance.randrange(2):
            # Whole rows in the place of whole rows.
            start = text.rfind(b"\n", place, start) + 1 or place
            stop = text.find(b"\n", max(start + size - 1, start)) + 1 if size else start
            if stop and text[start - 1 : start] in (b"", b"\n"):
                size, ends = stop - start, leaf_ends_of_rows(new).tolist()
        parts += [text[place:start], new]
        edits.append(Edit(start, size, len(new), ends))
        place = start + size
    return b"".join((*parts, text[place:])), edits


def test_leaves_of_a_changed_text_are_found_from_the_former_ones() -> None:
    """The text is changed again and again; what is known is only the former leaves and the
    changes."""
    chance = random.Random(7)
    text = table(chance, 30_000)
    known = cut(text)
    read = total = 0
    for _ in range(250):
        if len(text) > 6_000_000:
            text = table(chance, 10_000)
            known = cut(text)
        new, edits = changed(text, chance)
        last = 0

        def read_new(start: int, stop: int, new: bytes = new) -> bytes:
            nonlocal last, read
            assert last <= start < stop <= len(new)
            last = stop
            read += stop - start
            return new[start:stop]

        known = list(update_leaves(iter(known), iter(edits), read_new))
        assert known == cut(new)
        total += len(new)
        text = new
    # Else it would have been computed as a whole each time.
    assert read < total


def stretch(text: bytes, start: int, stop: int) -> bytes:
    return text[start:stop]


def test_at_the_seams_of_leaves_changes_are_found_too() -> None:
    text = TEXTS["short rows"]
    known = cut(text)
    assert len(known) > 5
    ends = np.cumsum([leaf.plain_bytes for leaf in known]).tolist()
    row = b"another row\n"
    for end in ends:
        for start, size, new in (
            (end, 0, row),
            (end, 0, b"x"),
            (end - 1, 1, b""),
            (end - 1, 1, b"\n"),
            (end - 1, 2, b"\n"),
            (end - 9, 9, row),
            (end - known[0].plain_bytes, known[0].plain_bytes, b""),
        ):
            if start >= 0 and start + size <= len(text):
                whole = text[:start] + new + text[start + size :]
                edit = Edit(start, size, len(new))
                read = partial(stretch, whole)
                assert list(update_leaves(known, [edit], read)) == cut(whole), edit
    assert list(update_leaves([], [Edit(0, 0, len(text))], lambda a, b: text[a:b])) == known
    assert list(update_leaves(known, [Edit(0, len(text), 0)], lambda a, b: b"")) == []
    assert list(update_leaves(known, [], lambda a, b: b"")) == known


def test_only_changed_leaves_are_read() -> None:
    text = table(random.Random(8), 60_000)
    known = cut(text)
    middle = len(text) // 2
    new = text[:middle] + b"Q" + text[middle + 1 :]
    read = []

    def read_new(start: int, stop: int) -> bytes:
        read.append((start, stop))
        return new[start:stop]

    found = list(update_leaves(known, [Edit(middle, 1, 1)], read_new))
    assert found == cut(new)
    assert sum(stop - start for start, stop in read) < len(text) / 4
    assert sum(a != b for a, b in zip(known, found, strict=False)) <= 2


def chunks_and_leaves(
    chunker: RowChunker, text: bytes, before: list[Chunk]
) -> tuple[list[Chunk], list[Leaf]]:
    """Return the chunks of *text*, where those of *before* are expected, and the leaves found."""
    known = [RecipeEntry(PLAIN_NAMES.name(one.data), len(one.data), one.lines) for one in before]
    chunker.reset(Expected(iter(known)) if known else None)
    chunks = []
    for start in range(0, len(text), 300_000):
        chunks += chunker.feed(text[start : start + 300_000])
    chunks += chunker.finish()
    cutter, found = LeafCutter(), list[Leaf]()
    for chunk in chunks:
        ends = chunk.leaf_ends
        found += cutter.feed(chunk.data) if ends is None else cutter.skip(chunk.data, ends)
    return chunks, found + cutter.finish()


@pytest.mark.parametrize(
    ("key", "keys"),
    [(0, None), (7, None), (0, ChunkerKeys(bytes(range(32)), bytes(32)))],
    ids=["plain", "other cuts", "secret"],
)
def test_the_chunker_finds_the_leaves_of_what_it_cuts_whatever_it_expects(
    key: int, keys: ChunkerKeys | None
) -> None:
    chance = random.Random(11)
    params = ChunkerParams(40_000, 200_000, 40_000 + ROW_BYTES_MAX)
    chunker = RowChunker(params, key, keys=keys)
    text, chunks, known = table(chance, 30_000), list[Chunk](), set[bool]()
    for _ in range(40):
        chunks, found = chunks_and_leaves(chunker, text, chunks)
        assert found == cut(text)
        known |= {chunk.leaf_ends is None for chunk in chunks}
        text, _ = changed(text if len(text) < 5_000_000 else table(chance, 10_000), chance)
    assert known == {True, False}
    # What began as a long row, and was expected so, is a short one.
    for _ in range(20):
        long_row = chance.randbytes(600_000).hex().encode()
        chunks, _ = chunks_and_leaves(chunker, long_row, [])
        text = chunks[0].data + b"end\n" + table(chance, 2_000)
        assert chunks_and_leaves(chunker, text, chunks)[1] == cut(text)
