"""Following one table backwards through snapshots: under which name it is there, and which of its
columns are those that it has later."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from difflib import SequenceMatcher
from typing import TypeAlias

from pgsnap.dump.definitions.table_parts import TableName
from pgsnap.errors import CorruptionError, ObjectNotFound
from pgsnap.format.baseline import decode_baseline
from pgsnap.model import Snapshot, SnapshotId
from pgsnap.model.baseline import Baseline
from pgsnap.repository.repository import Repository
from pgsnap.repository.sections.side_streams import read_baseline
from pgsnap.values import dataclass
from pgsnap.words import some
from pgsnap.workflows.contents.table_names import shown
from pgsnap.workflows.past.likeness import alike
from pgsnap.workflows.past.tables import PastTable, SnapshotTables

_Oids: TypeAlias = "dict[TableName, int]"


@dataclass(frozen=True, slots=True)
class View:
    """A snapshot, and the table in it: None if it is not there. *unknown* says why it cannot be
    known which rows it has; *key* names the key's columns as they are called there. *notes* say in
    what its definition differs from that in the next newer snapshot; *renamed* are the columns that
    are called otherwise there, each with its name here."""

    snapshot_id: SnapshotId
    snapshot: Snapshot
    table: PastTable | None
    key: tuple[str, ...]
    unknown: str = ""
    notes: tuple[str, ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()
    is_end: bool = False
    """The table is not followed further back; the last of the notes says why."""

    @property
    def is_unique(self) -> bool:
        """Whether no two rows have the same key."""
        return self.table is not None and set(self.key) == {*self.table.key}


class Trail:
    """The table *name* in snapshots, newest first."""

    def __init__(self, repo: Repository, snapshots: Sequence[SnapshotId], name: TableName) -> None:
        self._repo = repo
        self._snapshots = snapshots
        self._name = name
        self._last: SnapshotTables | None = None

    def newest_table(self) -> PastTable | None:
        """Return the table in the newest snapshot that has it, None if none has."""
        for snapshot_id in self._snapshots:
            try:
                tables = self._tables(snapshot_id)
                if tables.has(self._name):
                    return tables.table(self._name)
            except (CorruptionError, ObjectNotFound):
                continue
        return None

    def names(self) -> frozenset[TableName]:
        """Return the tables of the newest snapshot."""
        return self._tables(self._snapshots[0]).definitions.tables

    def views(self, key: Sequence[str]) -> Iterator[View]:
        """Yield what each snapshot has, newest first; the columns of the *key* are called so in the
        newest that has the table."""
        names, name = tuple(key), self._name
        newer: PastTable | None = None
        for snapshot_id in self._snapshots:
            try:
                view = self._view(snapshot_id, name, names, newer)
            except (CorruptionError, ObjectNotFound) as error:
                snapshot = self._repo.snapshot(snapshot_id)
                view = View(snapshot_id, snapshot, None, names, f"it is damaged: {error.message}")
            yield view
            if view.is_end:
                return
            if view.table is not None:
                newer, names, name = view.table, view.key, view.table.name

    def _tables(self, snapshot_id: SnapshotId) -> SnapshotTables:
        """Return the tables of a snapshot; definitions that are those of the last one are not read
        again."""
        tables = SnapshotTables(self._repo, snapshot_id)
        if self._last is not None:
            # Damage in either of them is told where that one is looked into.
            with suppress(CorruptionError, ObjectNotFound):
                tables.share(self._last)
            self._last.let_go()
        self._last = tables
        return tables

    def _view(
        self,
        snapshot_id: SnapshotId,
        name: TableName,
        key: tuple[str, ...],
        newer: PastTable | None,
    ) -> View:
        tables = self._tables(snapshot_id)
        snapshot = tables.snapshot
        found, notes = name, []
        if newer is not None and tables.definitions is not newer.tables.definitions:
            found, note = _former_name(tables, newer)
            notes += [note] if note else []
        if not tables.has(found):
            return View(snapshot_id, snapshot, None, key, _part(snapshot), tuple(notes))
        table = tables.table(found)
        renamed: dict[str, str] = {}
        if newer is not None and _columns(table) != _columns(newer):
            renamed, changes = _former_columns(table, newer)
            notes += changes
        names = tuple(renamed.get(one, one) for one in key)
        lacking = [one for one in names if one not in table.column_names]
        if lacking:
            notes.append(
                f"{shown(table.name)} has no column {some(lacking)} there: its rows are not"
                " followed further back"
            )
        return View(
            snapshot_id,
            snapshot,
            table,
            names,
            _unknown(table),
            tuple(notes),
            tuple(renamed.items()),
            is_end=bool(lacking),
        )


class Views:
    """The views of a trail in their order, of which the next ones can be looked at before."""

    def __init__(self, views: Iterator[View]) -> None:
        self._views = views
        self._waiting: deque[View] = deque()
        self._kept: View | None = None

    def __iter__(self) -> Iterator[View]:
        while (view := next(self.upcoming(1), None)) is not None:
            self._waiting.popleft()
            yield self._with_kept(view)

    def upcoming(self, count: int) -> Iterator[View]:
        """Yield the next *count* views, as far as there are so many."""
        for number in range(count):
            if number == len(self._waiting):
                view = next(self._views, None)
                if view is None:
                    return
                self._waiting.append(view)
            yield self._waiting[number]

    def keep_notes(self, view: View) -> None:
        """Let the next view say what *view* says too: its rows are not known, so they are compared
        with none."""
        self._kept = view

    def _with_kept(self, view: View) -> View:
        kept, self._kept = self._kept, None
        if kept is None:
            return view
        between, before = dict(kept.renamed), dict(view.renamed)
        renamed = {new: before.pop(old, old) for new, old in between.items()}
        return replace(
            view, notes=kept.notes + view.notes, renamed=(*renamed.items(), *before.items())
        )


def _part(snapshot: Snapshot) -> str:
    """Return why a snapshot may lack a table that was there, "" if it has all."""
    origin = snapshot.origin
    if origin.only_schemas:
        return f"only the schemas {some(origin.only_schemas)} were recorded"
    if origin.part in ("some-tables", "rows", "some-rows"):
        return "only a part of the database was recorded"
    return ""


def _unknown(table: PastTable) -> str:
    """Return why it cannot be known which rows a table has, "" if it can."""
    if any(part.columns is None for part in table.parts):
        return "its rows are not in the form of COPY with the names of columns"
    if table.lacks_rows:
        return f"the rows of {shown(table.name)} were left out of it"
    return ""


def _former_name(tables: SnapshotTables, newer: PastTable) -> tuple[TableName, str]:
    """Return how the table *newer* is called in an older snapshot, as far as it can be known, and a
    note if that is another name or cannot be known."""
    name = newer.name
    oids = _oids(tables, newer)
    before, after = oids if oids is not None else ({}, {})
    by_oid = {oid: one for one, oid in before.items()}.get(after.get(name, 0))
    if by_oid is not None and by_oid != name:
        return by_oid, f"it was called {shown(by_oid)}, and is {shown(name)} since"
    if by_oid is not None:
        return name, ""
    if tables.has(name):
        return name, _another(tables, newer, before, after)
    found = alike(tables, newer)
    if len(found.tables) == 1:
        there = shown(found.tables[0])
        judged = f"judging by its {found.evidence}"
        return found.tables[0], f"it was called {there}, {judged}, and is {shown(name)} since"
    if found.tables:
        there = " or ".join(map(shown, found.tables[:3]))
        return name, f"{shown(name)} may be what was {there}: that is not followed"
    return name, ""


def _another(tables: SnapshotTables, newer: PastTable, before: _Oids, after: _Oids) -> str:
    """Return a note that the table with the name of *newer* in an older snapshot is another one, ""
    if nothing shows that. Its history goes on nevertheless, by the name: tables are also made again
    to rebuild them."""
    name, now = newer.name, newer.tables.definitions
    words = f"another table was called {shown(name)} until then"
    if name in before and name in after:
        later = {oid: one for one, oid in after.items()}.get(before[name])
        return f"{words}, which is {shown(later)} since" if later else f"{words}, which is gone"
    indexes = tables.definitions.indexes(name)
    if not indexes or indexes & now.indexes(name):
        return ""
    for one in sorted(now.tables - tables.definitions.tables):
        if indexes & now.indexes(one):
            return f"{words}, which is {shown(one)} since, judging by its indexes"
    return ""


def _oids(tables: SnapshotTables, newer: PastTable) -> tuple[_Oids, _Oids] | None:
    """Return the OIDs of tables in an older snapshot and in that of *newer*, None where they are
    not known or not comparable."""
    sides = []
    for one in (tables, newer.tables):
        record = read_baseline(one.repo.chunks, one.snapshot)
        if record is None:
            return None
        sides.append(decode_baseline(record))
    before, after = sides
    if (after.system_identifier, after.database_oid) != (
        before.system_identifier,
        before.database_oid,
    ):
        return None
    return _named(before), _named(after)


def _named(baseline: Baseline) -> _Oids:
    return {(table.schema, table.name): table.oid for table in baseline.tables}


def _columns(table: PastTable) -> tuple[object, ...]:
    return tuple((c.name, c.type) for c in table.columns if not c.is_generated)


def _former_columns(table: PastTable, newer: PastTable) -> tuple[dict[str, str], list[str]]:
    """Return how columns that have another name now were called in *table*, and notes of what else
    differs.

    PostgreSQL keeps columns in the order in which they were added: a new name between two old ones
    is the same column.
    """
    again = _added_again(table.column_names, newer.column_names)
    old = [one for one in table.column_names if one not in again]
    new = [one for one in newer.column_names if one not in again]
    renamed: dict[str, str] = {}
    notes = []
    for kind, i, i_end, k, k_end in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind == "equal":
            continue
        before, after = old[i:i_end], new[k:k_end]
        same_types = [table.types[one] for one in before] == [newer.types[one] for one in after]
        # Columns are only ever added at the end.
        is_same = same_types or (len(before) == len(after) and k_end < len(new))
        if kind == "replace" and is_same:
            renamed |= dict(zip(after, before, strict=True))
            notes += [
                f"column {one} was renamed to {two}, judging by its place"
                for one, two in zip(before, after, strict=True)
            ]
            continue
        notes += [f"column {one} was dropped" for one in before if one not in new]
        notes += [f"column {one} was added" for one in after if one not in old]
    notes += [f"column {one} was dropped and added again, judging by its place" for one in again]
    for one in newer.column_names:
        was = table.types.get(renamed.get(one, one))
        if was is not None and was != newer.types[one]:
            notes.append(f"column {one} was of type {was}, and is {newer.types[one]} since")
    return renamed, notes


def _added_again(old: Sequence[str], new: Sequence[str]) -> tuple[str, ...]:
    """Return the columns that come, among those that were there, after ones that followed them:
    columns keep their order, and one that is added comes last."""
    last, places = -1, {one: place for place, one in enumerate(old)}
    there = [one for one in new if one in places]
    for number, one in enumerate(there):
        if places[one] < last:
            return tuple(there[number:])
        last = places[one]
    return ()
