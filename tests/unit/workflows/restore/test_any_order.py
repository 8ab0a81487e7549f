"""The rows of one table, taken by several psql."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgsnap.errors import CorruptionError
from pgsnap.model import DumpEvent, Section, SectionEnd, SectionKind, SectionName, SectionStart
from pgsnap.workflows.restore.any_order import SharedRows

HEAD, TAIL = b"-- Data\n\nCOPY public.t (a) FROM stdin;\n", b"\\.\n\n\n"
NAME = SectionName(SectionKind.DATA, "public", "t")


def section_of(rows: list[bytes]) -> Section:
    text = HEAD + b"".join(rows) + TAIL
    return Section(
        NAME,
        len(text),
        text.count(b"\n"),
        digest=None,
        segments=(),
        rows=len(rows),
        head_bytes=len(HEAD),
        tail_bytes=len(TAIL),
    )


def events_of(rows: list[bytes], cuts: list[int]) -> Iterator[DumpEvent]:
    text = HEAD + b"".join(rows) + TAIL
    yield SectionStart(NAME)
    places = sorted({0, len(text), *(cut % len(text) for cut in cuts)})
    for start, end in pairwise(places):
        yield text[start:end]
    yield SectionEnd()


ROWS = st.lists(st.binary(max_size=12).map(lambda a: a.replace(b"\n", b"") + b"\n"), min_size=1)


@given(ROWS, st.lists(st.integers(0, 500)), st.integers(1, 4), st.randoms(use_true_random=False))
def test_each_row_goes_to_one_part_whole(
    rows: list[bytes], cuts: list[int], parts: int, chance: object
) -> None:
    shared = SharedRows(section_of(rows), events_of(rows, cuts))
    tasks = [shared.task() for _ in range(parts)]
    running = [(task, iter(task.events())) for task in tasks]
    texts: dict[int, bytes] = dict.fromkeys(range(parts), b"")
    left = list(range(parts))
    while left:
        number = chance.choice(left)  # type: ignore[attr-defined]
        # As its psql is fed: while a part has the beginning of a row nobody else gets any.
        for event in running[number][1]:
            if isinstance(event, bytes):
                texts[number] += event
                if event.endswith(b"\n") and event != HEAD:
                    break
        else:
            left.remove(number)
    found = []
    for number, task in enumerate(tasks):
        if not texts[number]:
            assert list(task.expected) == []
            continue
        head, text = texts[number][: len(HEAD)], texts[number][len(HEAD) :]
        assert head == HEAD
        assert text.endswith(b"\\.\n")
        mine = [line + b"\n" for line in text[: -len(b"\\.\n")].split(b"\n")[:-1]]
        assert [each.rows for each in task.expected] == [len(mine)]
        found += mine
    assert sorted(found) == sorted(rows)


def test_what_fails_for_one_part_fails_for_all() -> None:
    def events() -> Iterator[DumpEvent]:
        yield HEAD + b"1\n"
        raise CorruptionError("chunk 0123 is damaged")

    shared = SharedRows(section_of([b"1\n", b"2\n"]), events())
    parts = [iter(shared.task().events()) for _ in range(2)]
    for part in parts:
        with pytest.raises(CorruptionError, match="0123"):
            list(part)


def test_a_part_that_ends_within_a_row_fails_the_others() -> None:
    rows = [b"1" * 20 + b"\n", b"2\n"]
    shared = SharedRows(section_of(rows), events_of(rows, [len(HEAD) + 5, len(HEAD) + 10]))
    first, second = (iter(shared.task().events()) for _ in range(2))
    assert isinstance(next(first), SectionStart)
    assert next(first) == HEAD
    assert not bytes(next(first)).endswith(b"\n")  # type: ignore[arg-type]
    first.close()  # type: ignore[attr-defined]
    with pytest.raises(Exception, match="stopped"):
        list(second)


@pytest.mark.parametrize("rows", [1, 3])
def test_rows_that_are_not_as_many_as_they_should_be_are_refused(rows: int) -> None:
    two = [b"1\n", b"2\n"]
    shared = SharedRows(replace(section_of(two), rows=rows), events_of(two, []))
    with pytest.raises(CorruptionError, match="rows"):
        list(shared.task().events())
