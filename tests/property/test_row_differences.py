"""The difference of two tables' rows is what counting them one by one says."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgsnap.rows import difference as row_difference
from pgsnap.rows import spill as row_spill
from pgsnap.rows.difference import RowChange, RowDifference
from pgsnap.rows.sets import Key

KEY = Key([0], 2)
ROW = st.tuples(st.integers(0, 30), st.sampled_from(["", "x", r"\N", r"a\tb", "é" * 40, "y" * 70]))


def fed(
    sides: tuple[bytes, bytes], *, key: Key | None = KEY, keep: bool = True, step: int = 1 << 20
) -> RowDifference:
    rows = RowDifference((key, key) if key else None, keep_texts=keep, rows_expected=1000)
    for side, text in enumerate(sides):
        for start in range(0, len(text), step):
            rows.feed(side, text[start : start + step])
    return rows


def text_of(rows: list[tuple[int, str]]) -> bytes:
    return b"".join(f"{number}\t{value}\n".encode() for number, value in rows)


def lines(text: bytes) -> Counter[bytes]:
    return Counter(text.splitlines())


def alone(changes: list[RowChange], side: str) -> Counter[bytes]:
    found: Counter[bytes] = Counter()
    for change in changes:
        row = getattr(change, side)
        if row is not None:
            found[row.text] += 1
    return found


@settings(max_examples=60)
@given(
    before=st.lists(ROW, max_size=40),
    after=st.lists(ROW, max_size=40),
    step=st.sampled_from([1, 7, 100_000]),
)
def test_without_a_key_the_counts_are_those_of_counting_rows(
    before: list[tuple[int, str]], after: list[tuple[int, str]], step: int
) -> None:
    sides = text_of(before), text_of(after)
    with fed(sides, key=None, step=step) as rows:
        counts, changes = rows.finish(), list(rows.changes())
    removed = lines(sides[0]) - lines(sides[1])
    added = lines(sides[1]) - lines(sides[0])
    assert (counts.removed, counts.added, counts.changed) == (removed.total(), added.total(), 0)
    assert (alone(changes, "before"), alone(changes, "after")) == (removed, added)


@settings(max_examples=60)
@given(before=st.lists(ROW, max_size=40), after=st.lists(ROW, max_size=40))
def test_with_a_key_a_row_on_both_sides_is_changed(
    before: list[tuple[int, str]], after: list[tuple[int, str]]
) -> None:
    old, new = dict(before), dict(after)
    with fed((text_of([*old.items()]), text_of([*new.items()]))) as rows:
        counts, changes = rows.finish(), list(rows.changes())
    assert counts.removed == len(old.keys() - new.keys())
    assert counts.added == len(new.keys() - old.keys())
    assert counts.changed == sum(old[key] != new[key] for key in old.keys() & new.keys())
    for change in changes:
        if change.before and change.after:
            assert change.before.text is not None
            assert change.after.text is not None
            assert change.before.text.split(b"\t")[0] == change.after.text.split(b"\t")[0]


def test_windows_piles_and_long_rows_change_no_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """All bounds made small: many windows, piles in files, rows digested while they pass."""
    chance = random.Random(7)
    old = {n: chance.randbytes(chance.choice([3, 30, 300, 3000])).hex() for n in range(700)}
    new = {n: value for n, value in old.items() if n % 7}
    for n in chance.sample([*new], 90):
        new[n] = new[n][:-1] + "z"
    new |= dict.fromkeys(range(700, 730), "new")
    order = [*new.items()]
    chance.shuffle(order)
    sides = text_of([*old.items()]), text_of(order)
    expected = (100, 30, 90)
    big = 1 << 22
    for window, held, pile in ((1 << 15, big, 2000), (big, 1000, 2000), (1 << 15, 1000, big)):
        monkeypatch.setattr(row_difference, "_WINDOW_BYTES", window)
        monkeypatch.setattr(row_difference, "_ROW_HELD_BYTES", held)
        monkeypatch.setattr(row_difference, "_PILE_BYTES", pile)
        with fed(sides, step=5000) as rows:
            counts = rows.finish()
            assert (counts.removed, counts.added, counts.changed) == expected
            changes = list(rows.changes())
        assert alone(changes, "before") == lines(sides[0]) - lines(sides[1])
        assert alone(changes, "after") == lines(sides[1]) - lines(sides[0])


def test_a_row_beyond_what_is_kept_is_counted_and_its_text_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(row_difference, "_ROW_HELD_BYTES", 1000)
    monkeypatch.setattr(row_difference, "ROW_KEPT_BYTES", 10_000)
    with fed((b"1\t" + b"a" * 20_000 + b"\n", b"1\t" + b"a" * 19_999 + b"b\n"), step=900) as rows:
        [change] = rows.changes()
    assert change.before is not None
    assert (change.before.text, change.before.size) == (None, 20_002)
    assert change.after is not None


def test_with_a_limit_the_first_changes_come_whatever_the_parts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(row_difference, "_PILE_BYTES", 4000)
    text = text_of([(n, "v") for n in range(2000)])
    with fed((b"", text)) as rows:
        found = [change.after.text for change in rows.changes(3) if change.after]
    assert found == text.splitlines()[:3]


def test_a_pile_gives_back_in_parts_what_it_was_given() -> None:
    import numpy as np

    pile = row_spill.Pile(0, 5, 4000)
    given_rows = np.random.default_rng(1).integers(0, 1 << 63, (1000, 5)).astype(np.uint64) * 2
    for start in range(0, 1000, 70):
        pile.add(given_rows[start : start + 70])
    assert pile.is_spilled
    parts = [pile.part(number, 5) for number in range(5)]
    pile.close()
    assert sorted(map(tuple, np.concatenate(parts).tolist())) == sorted(
        map(tuple, given_rows.tolist())
    )
    assert all(len(part) > 100 for part in parts)
