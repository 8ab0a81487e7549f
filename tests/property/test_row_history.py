"""The history of a row is what looking at all rows of each snapshot says."""

from __future__ import annotations

import os
import random
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgsnap.dump.definitions.copy_text import unescaped
from pgsnap.model import ChunkerParams, SectionEnd, SectionKind, SectionName, SnapshotId
from pgsnap.repository.repository import Repository
from pgsnap.rows import assembled
from pgsnap.rows.assembled import LongField
from pgsnap.workflows.past.history import RowEvent, RowVersion, row_history
from support.dumps.scripted import Dump, Part, dump
from support.repositories.made import record

# Rows may be longer than chunks, and longer than what is held.
SMALL = ChunkerParams(1024, 4096, 16_384)
SMALLER = ChunkerParams(512, 1024, 4096)
HELD_BYTES = 40_000
EXAMPLES = int(os.environ.get("SNAP_EXAMPLES", "10"))

Row = tuple[str, str, str]
"""The partition that it is in, its key, its value."""


@dataclass
class State:
    """A table with two partitions, as it is recorded."""

    rows: list[Row] = field(default_factory=list)
    is_key_first: bool = True
    has_key: bool = True

    def columns(self) -> tuple[str, str]:
        return ("id", "value") if self.is_key_first else ("value", "id")

    def dump(self) -> Dump:
        parts = [_rows(name, self.columns(), self.rows) for name in ("p1", "p2")]
        listed = ",\n    ".join(f"{name} text" for name in self.columns())
        made = "".join(
            _entry(name, "TABLE", f"CREATE TABLE public.{name} (\n    {listed}\n){how};")
            for name, how in (("t", "\nPARTITION BY LIST (p)"), ("p1", ""), ("p2", ""))
        )
        made += "".join(
            _entry(name, "TABLE ATTACH", f"ALTER TABLE ONLY public.t ATTACH PARTITION public.{name}"
                   " FOR VALUES IN ('x');")
            for name in ("p1", "p2")
        )  # fmt: skip
        key = "ALTER TABLE ONLY public.t\n    ADD CONSTRAINT t_pkey PRIMARY KEY (id);"
        whole = dump(*parts)
        texts = {
            SectionKind.PRE_DATA: made,
            SectionKind.POST_DATA: _entry("t t_pkey", "CONSTRAINT", key) if self.has_key else "",
        }
        return replace(
            whole,
            parts=tuple(
                replace(part, text=texts[part.name.kind].encode())
                if part.name.kind in texts
                else part
                for part in whole.parts
            ),
        )


def _entry(name: str, kind: str, text: str) -> str:
    return f"--\n-- Name: {name}; Type: {kind}; Schema: public; Owner: -\n--\n\n{text}\n\n"


def _rows(name: str, columns: Sequence[str], rows: Sequence[Row]) -> Part:
    head = f"COPY public.{name} ({', '.join(columns)}) FROM stdin;\n".encode()
    lines = (
        f"{key}\t{value}\n" if columns[0] == "id" else f"{value}\t{key}\n"
        for part, key, value in rows
        if part == name
    )
    end = SectionEnd(True, len(head), 1, 5, 3)
    text = head + "".join(lines).encode() + b"\\.\n\n\n"
    return Part(SectionName(SectionKind.DATA, "public", name), text, end)


@contextmanager
def repository() -> Iterator[Repository]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "repo"
        Repository.create(path)
        with Repository.open(path) as repo:
            yield repo


@settings(max_examples=EXAMPLES)
@given(
    seed=st.integers(0, 1 << 32),
    has_key=st.booleans(),
    # Of more than a few that do not have it, many are looked at at once.
    steps=st.integers(1, 7) | st.integers(8, 25),
)
def test_events_of_a_row_are_what_each_snapshot_has(seed: int, has_key: bool, steps: int) -> None:
    chance = random.Random(seed)
    with repository() as repo, pytest.MonkeyPatch.context() as patch:
        patch.setattr(assembled, "ROW_HELD_BYTES", HELD_BYTES)
        state = State([_new(chance, n) for n in range(chance.choice([0, 3, 300]))])
        state.has_key = has_key
        made: list[tuple[SnapshotId, list[Row]]] = []
        for _ in range(steps):
            # The same text may be other chunks in two snapshots, as where only changes were read.
            repo.config = replace(repo.config, chunker=chance.choice([SMALL, SMALL, SMALLER]))
            made.append((record(repo, state.dump()).snapshot_id, list(state.rows)))
            _change(chance, state)
        made.reverse()
        keys = {key for _, rows in made for _, key, _ in rows} | {"none"}
        long = sorted({key for _, rows in made for _, key, value in rows if len(value) > 9000})
        chosen = chance.sample(sorted(keys), min(len(keys), 4))
        for key in {*chosen, *chance.sample(long, min(len(long), 5))}:
            _compare(repo, made, key, None if has_key else "id")


def _new(chance: random.Random, key: int) -> Row:
    size = chance.choice([0, 1, 9, 9, 9, 80, 80, 400, 20_000 if chance.random() < 0.1 else 5])
    if chance.random() < 0.01:
        size = chance.choice([30_000, 60_000])
    return chance.choice(["p1", "p2"]), str(key), f"{chance.random():.3f}" + _text(chance, size)


def _text(chance: random.Random, size: int) -> str:
    if chance.random() < 0.2:
        # No byte of it is chosen for a cut.
        return chance.choice("78") * size
    return chance.randbytes(size // 2 + 1).hex()[:size]


def _change(chance: random.Random, state: State) -> None:
    """Change some rows: none, a few, or all."""
    rows = state.rows
    for _ in range(chance.choice([0, 1, 3, 30])):
        what = chance.randrange(9)
        place = chance.randrange(len(rows)) if rows else 0
        long = [number for number, row in enumerate(rows) if len(row[2]) > 9000]
        if what == 0 or not rows:
            free = max((int(key) for _, key, _ in rows), default=0) + 1
            rows.insert(place, _new(chance, free))
        elif what == 1:
            rows[place] = _new(chance, int(rows[place][1]))
        elif what == 2:
            del rows[place : place + chance.choice([1, 1, 40])]
        elif what == 3:
            rows.append(rows.pop(place))
        elif what == 4:
            # Deleted keys come back.
            free = chance.randrange(400)
            if all(int(key) != free for _, key, _ in rows):
                rows.append(_new(chance, free))
        elif what == 5 and not state.has_key:
            rows.insert(0, rows[place])
        elif what in (7, 8) and long:
            # Of a row of many chunks only some change: its end, or a part of its middle goes.
            place = chance.choice(long)
            part, key, value = rows[place]
            start = chance.randrange(len(value))
            cut = value[:start] + value[start + 9000 :] if what == 8 else value + "x"
            rows[place] = part, key, cut
        elif what == 6:
            other = "p1" if rows[place][0] == "p2" else "p2"
            rows[place] = (other, *rows[place][1:])
    if chance.random() < 0.2:
        chance.shuffle(rows)
    if chance.random() < 0.1:
        state.is_key_first = not state.is_key_first


def _compare(
    repo: Repository, made: Sequence[tuple[SnapshotId, list[Row]]], key: str, named: str | None
) -> None:
    history, found = row_history(
        repo, [one for one, _ in made], ("public", "t"), key, key_named=named
    )
    events = {event.snapshot_id: event for event in found}
    assert not history.unknown
    expected = [(one, _with_key(rows, key)) for one, rows in made]
    assert Counter(map(_said, history.present)) == expected[0][1]
    for (later, after), (earlier, before) in pairwise(expected):
        event = events.pop(later, None)
        if before == after:
            # Its columns are in another order.
            assert event is None or (event.kind == "defined" and event.notes)
            continue
        assert event is not None
        assert event.previous_id == earlier
        assert (event.count_before, event.count_after) == (before.total(), after.total())
        assert _sides(event) == (before - after, after - before)
        assert event.kind == (
            "appeared" if not before else "removed" if not after else "changed"
        )  # fmt: skip
    oldest, rows = expected[-1]
    first = events.pop(oldest, None)
    assert not events
    assert (first is not None) == bool(rows)
    if first is not None:
        assert first.kind == "first"
        assert Counter(map(_said, first.after)) == rows


def _with_key(rows: Sequence[Row], key: str) -> Counter[tuple[str, int, str]]:
    return Counter(_shown(row[1], row[2]) for row in rows if row[1] == key)


def _sides(event: RowEvent) -> tuple[Counter[tuple[str, int, str]], ...]:
    return Counter(map(_said, event.before)), Counter(map(_said, event.after))


def _said(row: RowVersion) -> tuple[str, int, str]:
    key, value = row.field("id"), row.field("value")
    assert key is not None and value is not None  # noqa: PT018
    if isinstance(value, LongField):
        assert isinstance(key, LongField)
        return key.head.decode(), value.size, value.head.decode()[:30]
    assert isinstance(key, bytes)
    return _shown(key.decode(), (unescaped(value) or b"").decode())


def _shown(key: str, value: str) -> tuple[str, int, str]:
    return key, len(value), value[:30]
