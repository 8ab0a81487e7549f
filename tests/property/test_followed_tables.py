"""A row's history is what its snapshots hold, whatever became of its table meanwhile: no OIDs say
which table is which, as in imports."""

from __future__ import annotations

import os
import random
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from pgsnap.model import ChunkerParams, SectionEnd, SectionKind, SectionName, SnapshotId
from pgsnap.repository.repository import Repository
from pgsnap.workflows.past.blame import blame
from pgsnap.workflows.past.history import RowEvent, RowHistory, RowVersion, row_history
from pgsnap.workflows.past.pages import value_of
from support.dumps.scripted import Dump, Part, dump
from support.repositories.made import record

EXAMPLES = int(os.environ.get("SNAP_EXAMPLES", "15"))
SMALL = ChunkerParams(1024, 4096, 16_384)
KEYS = 60

Rows = Counter[frozenset[tuple[str, str]]]


@dataclass(frozen=True)
class Column:
    """A column: *number* stays when its name and its type change."""

    number: int
    name: str
    type: str = "text"


@dataclass
class Table:
    """The table under change; the first column identifies its rows. *key* are the numbers of the
    columns of its primary key, whose index is called *index*."""

    chance: random.Random
    name: str = "t0"
    index: str = "t0_pkey"
    key: tuple[int, ...] = (0,)
    columns: list[Column] = field(
        default_factory=lambda: [
            Column(0, "id", "integer"),
            *(Column(number, f"c{number}") for number in range(1, 5)),
        ]
    )
    rows: list[dict[int, str]] = field(default_factory=list)
    serial: int = 10

    def new(self, stem: str) -> str:
        self.serial += 1
        return f"{stem}{self.serial}"

    def fresh(self, key: int) -> dict[int, str]:
        return {0: str(key)} | {
            one.number: f"{self.chance.random():.6f}" * self.chance.choice([1, 1, 9])
            for one in self.columns[1:]
        }

    def said(self) -> dict[str, Rows]:
        """Return what the rows are by the value of the first column."""
        found: dict[str, Rows] = {}
        for row in self.rows:
            values = frozenset((one.name, row[one.number]) for one in self.columns)
            found.setdefault(row[0], Counter())[values] += 1
        return found

    def dump(self) -> Dump:
        names = [one.name for one in self.columns]
        head = f"COPY public.{self.name} ({', '.join(names)}) FROM stdin;\n"
        lines = ("\t".join(row[one.number] for one in self.columns) + "\n" for row in self.rows)
        text = (head + "".join(lines) + "\\.\n\n\n").encode()
        end = SectionEnd(True, len(head.encode()), 1, 5, 3)
        listed = ",\n    ".join(f"{one.name} {one.type}" for one in self.columns)
        made = _entry(self.name, "TABLE", f"CREATE TABLE public.{self.name} (\n    {listed}\n);")
        # Another one that stays.
        made += _entry("other", "TABLE", "CREATE TABLE public.other (\n    id integer\n);")
        by_number = {one.number: one.name for one in self.columns}
        columns = ", ".join(by_number[one] for one in self.key)
        key = f"ADD CONSTRAINT {self.index} PRIMARY KEY ({columns})"
        constraint = f"ALTER TABLE ONLY public.{self.name}\n    {key};"
        texts = {
            SectionKind.PRE_DATA: made,
            SectionKind.POST_DATA: (
                _entry(f"{self.name} {self.index}", "CONSTRAINT", constraint) if self.key else ""
            ),
        }
        whole = dump(Part(SectionName(SectionKind.DATA, "public", self.name), text, end))
        parts = tuple(
            replace(part, text=texts[part.name.kind].encode()) if part.name.kind in texts else part
            for part in whole.parts
        )
        return replace(whole, parts=parts)


def _entry(name: str, kind: str, text: str) -> str:
    return f"--\n-- Name: {name}; Type: {kind}; Schema: public; Owner: -\n--\n\n{text}\n\n"


def _change_rows(table: Table) -> None:
    """Update, move, delete and add some rows; without a key duplicate some too."""
    chance, rows = table.chance, table.rows
    for _ in range(chance.choice([0, 1, 4, 15])):
        place = chance.randrange(len(rows))
        what = chance.randrange(5)
        if what == 0:
            number = chance.choice(table.columns[1:]).number
            rows[place] = rows[place] | {number: f"{chance.random():.6f}"}
        elif what == 1:
            rows.append(rows.pop(place))
        elif what == 2 and len(rows) > KEYS // 2:
            del rows[place]
        elif what == 3 and not table.key:
            rows.insert(0, dict(rows[place]))
        elif (key := chance.randrange(KEYS)) not in {int(row[0]) for row in rows}:
            rows.append(table.fresh(key))


def _add(table: Table, name: str) -> None:
    column = Column(table.serial, name)
    table.serial += 1
    table.columns.append(column)
    for row in table.rows:
        row[column.number] = table.chance.choice([r"\N", f"{table.chance.random():.3f}"])


def _rename(table: Table, places: Iterable[int]) -> None:
    for place in places:
        table.columns[place] = replace(table.columns[place], name=table.new("r"))


def _change_columns(table: Table) -> None:
    """Change some columns, so that names and places still say which is which."""
    chance = table.chance
    free = [place for place, one in enumerate(table.columns) if one.number not in {0, *table.key}]
    what = chance.randrange(4)
    if what == 0:
        _rename(table, [chance.choice([0, *free])])
    elif what == 1 and len(free) > 3:
        del table.columns[free[0]]
    elif what == 2:
        _add(table, table.columns.pop(free[0]).name)
    if chance.random() < 0.3:
        _add(table, table.new("c"))
    elif chance.random() < 0.3:
        place = free[1]
        table.columns[place] = replace(table.columns[place], type=table.new("varchar"))


def _change_key(table: Table) -> None:
    if table.key:
        table.key = table.chance.choice([(), (0, table.columns[-1].number)])
        return
    table.rows = list({row[0]: row for row in table.rows}.values())
    table.key, table.index = (0,), table.new("unique")


def _step(table: Table) -> None:
    """Let some time pass. What is left of a renamed table is its index, or most of its columns, or
    its rows."""
    chance = table.chance
    if chance.random() < 0.2:
        _rename(table, range(len(table.columns)))
        table.name, table.index = table.new("t"), table.new("index")
        return
    _change_rows(table)
    if chance.random() < 0.5:
        _change_columns(table)
    if chance.random() < 0.2:
        _change_key(table)
    elif chance.random() < 0.3:
        table.name = table.new("t")
        table.index = chance.choice([table.index, table.new("index")])


@settings(max_examples=EXAMPLES)
@given(seed=st.integers(0, 1 << 32), steps=st.integers(2, 7))
def test_a_row_is_followed_whatever_becomes_of_its_table(seed: int, steps: int) -> None:
    table = Table(random.Random(seed))
    table.rows = [table.fresh(key) for key in range(0, KEYS, 2)]
    made: list[tuple[SnapshotId, dict[str, Rows]]] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "repo"
        Repository.create(path)
        with Repository.open(path) as repo:
            repo.config = replace(repo.config, chunker=SMALL)
            for number in range(steps):
                if number:
                    _step(table)
                made.append((record(repo, table.dump()).snapshot_id, table.said()))
            made.reverse()
            for key in table.chance.sample(range(KEYS), 4):
                _compare(repo, made, table, str(key))


def _compare(
    repo: Repository,
    made: Sequence[tuple[SnapshotId, dict[str, Rows]]],
    table: Table,
    key: str,
) -> None:
    history, found = _history(repo, made, table, key)
    events = {event.snapshot_id: event for event in found}
    assert not history.ends
    assert not history.unknown
    expected = [(one, rows.get(key, Counter())) for one, rows in made]
    assert Counter(map(_values, history.present)) == expected[0][1]
    for (later, after), (_, before) in pairwise(expected):
        event = events.pop(later, None)
        if event is None:
            assert before == after
            continue
        assert (event.count_before, event.count_after) == (before.total(), after.total())
        assert not Counter(map(_values, event.before)) - before
        assert not Counter(map(_values, event.after)) - after
        assert (event.kind == "appeared") == (not before)
        assert (event.kind == "removed") == (not after)
        assert event.notes or before != after
    first = events.pop(expected[-1][0], None)
    assert not events
    assert Counter(map(_values, first.after if first else ())) == expected[-1][1]
    if expected[0][1].total() == 1:
        _compare_blame(repo, made, table, key)


def _compare_blame(
    repo: Repository,
    made: Sequence[tuple[SnapshotId, dict[str, Rows]]],
    table: Table,
    key: str,
) -> None:
    """Each value is there in the snapshot that is named, and in all that followed."""
    found = blame(*_history(repo, made, table, key))
    assert [one.column for one in found.columns] == [one.name for one in table.columns]
    snapshots = [one for one, _ in made]
    for one in found.columns:
        value = value_of(one.value, found.row.encoding).text
        shown = r"\N" if value is None else value
        for _, rows in made[: snapshots.index(one.snapshot_id) + 1]:
            assert any(shown in dict(held).values() for held in rows[key])


def _history(
    repo: Repository,
    made: Sequence[tuple[SnapshotId, dict[str, Rows]]],
    table: Table,
    key: str,
) -> tuple[RowHistory, Iterator[RowEvent]]:
    snapshots = [one for one, _ in made]
    column = table.columns[0].name
    return row_history(repo, snapshots, ("public", table.name), key, key_named=column)


def _values(row: RowVersion) -> frozenset[tuple[str, str]]:
    values = [(one, value_of(field, row.encoding).text) for one, field in
              zip(row.columns, row.fields, strict=True)]  # fmt: skip
    return frozenset((one, r"\N" if text is None else text) for one, text in values)
