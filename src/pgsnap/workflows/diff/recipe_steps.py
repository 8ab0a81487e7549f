"""Aligns two lists of chunks and finds the common ones, in bounded memory.

Chunks with one name are paired in order, by patience sorting of those that occur once on either
side (Bram Cohen's patience diff); the runs between two pairs are compared from both ends. A missed
pair costs time, never correctness: its chunks are then read on both sides.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice

from pgsnap.model import RecipeEntry
from pgsnap.values import dataclass

# About 250 bytes each.
_CHUNKS_AT_ONCE = 40_000


@dataclass(frozen=True, slots=True)
class Placed:
    """A chunk and its offset in its section."""

    entry: RecipeEntry
    offset: int


@dataclass(frozen=True, slots=True)
class Step:
    """A chunk of one side, or the same chunk on both."""

    before: Placed | None
    after: Placed | None


def steps(before: Iterator[RecipeEntry], after: Iterator[RecipeEntry]) -> Iterator[Step]:
    """Yield the chunks of both sides, each side in its order; where they differ, the sides
    alternate so that they advance in step."""
    left, right = _placed(before), _placed(after)
    a, b = list(islice(left, _CHUNKS_AT_ONCE)), list(islice(right, _CHUNKS_AT_ONCE))
    while a or b:
        done_a = done_b = 0
        for i, k in _pairs([p.entry.chunk for p in a], [p.entry.chunk for p in b]):
            yield from _turns(a[done_a:i], b[done_b:k])
            yield Step(a[i], b[k])
            done_a, done_b = i + 1, k + 1
        # Chunks after the last pair may be paired with the next ones to come, but not indefinitely.
        rest_a, rest_b = a[done_a:], b[done_b:]
        more_a = list(islice(left, _CHUNKS_AT_ONCE - len(rest_a)))
        more_b = list(islice(right, _CHUNKS_AT_ONCE - len(rest_b)))
        if len(more_a) + len(more_b) < _CHUNKS_AT_ONCE // 4:
            yield from _turns(rest_a, rest_b)
            rest_a, rest_b = [], []
            more_a += islice(left, _CHUNKS_AT_ONCE - len(more_a))
            more_b += islice(right, _CHUNKS_AT_ONCE - len(more_b))
        a, b = rest_a + more_a, rest_b + more_b


def _placed(entries: Iterator[RecipeEntry]) -> Iterator[Placed]:
    offset = 0
    for entry in entries:
        yield Placed(entry, offset)
        offset += entry.plain_bytes


def _turns(a: Sequence[Placed], b: Sequence[Placed]) -> Iterator[Step]:
    """Yield two runs of chunks interleaved so that both end together."""
    total_a = sum(placed.entry.plain_bytes for placed in a) or 1
    total_b = sum(placed.entry.plain_bytes for placed in b) or 1
    i = k = done_a = done_b = 0
    while i < len(a) or k < len(b):
        if k == len(b) or (i < len(a) and done_a * total_b <= done_b * total_a):
            yield Step(a[i], None)
            done_a += a[i].entry.plain_bytes
            i += 1
        else:
            yield Step(None, b[k])
            done_b += b[k].entry.plain_bytes
            k += 1


def _pairs(a: Sequence[bytes], b: Sequence[bytes]) -> list[tuple[int, int]]:
    """Return pairs of indexes of equal elements, both increasing."""
    once_a = {name for name, count in Counter(a).items() if count == 1}
    counts_b = Counter(b)
    places = {name: k for k, name in enumerate(b) if counts_b[name] == 1}
    anchors = _increasing(
        [(i, places[name]) for i, name in enumerate(a) if name in once_a and name in places]
    )
    pairs: list[tuple[int, int]] = []
    start_a = start_b = 0
    for i, k in [*anchors, (len(a), len(b))]:
        pairs += _from_both_ends(a, b, (start_a, i), (start_b, k))
        if i < len(a) and k < len(b):
            pairs.append((i, k))
        start_a, start_b = i + 1, k + 1
    return pairs


def _increasing(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the longest run of *pairs* whose second numbers increase."""
    tops: list[int] = []
    holders: list[int] = []
    previous: list[int] = []
    for number, (_, k) in enumerate(pairs):
        place = bisect_left(tops, k)
        previous.append(holders[place - 1] if place else -1)
        tops[place : place + 1] = [k]
        holders[place : place + 1] = [number]
    found = []
    number = holders[-1] if holders else -1
    while number >= 0:
        found.append(pairs[number])
        number = previous[number]
    return found[::-1]


def _from_both_ends(
    a: Sequence[bytes], b: Sequence[bytes], in_a: tuple[int, int], in_b: tuple[int, int]
) -> list[tuple[int, int]]:
    (i, end_a), (k, end_b) = in_a, in_b
    found, last = [], []
    while i < end_a and k < end_b and a[i] == b[k]:
        found.append((i, k))
        i, k = i + 1, k + 1
    while i < end_a and k < end_b and a[end_a - 1] == b[end_b - 1]:
        end_a, end_b = end_a - 1, end_b - 1
        last.append((end_a, end_b))
    return found + last[::-1]
