"""Which rows with a key a table had in snapshot after snapshot, going back, while only chunks are
read that may hold them.

What a newer snapshot is known to have says what an older one has in the chunks that both share: a
row that changed is in a chunk that changed. With a unique key it is enough to find the row once:
near its place in the newer snapshot first.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import accumulate, groupby
from typing import TypeAlias

from pgsnap.errors import UsageError
from pgsnap.limits import MIB
from pgsnap.model import ChunkId, RecipeEntry, Section, same_text
from pgsnap.progress import SILENT, Progress
from pgsnap.repository.chunks.recipes import walk
from pgsnap.repository.repository import Repository
from pgsnap.rows.assembled import Field, LongRow, RowAssembly
from pgsnap.rows.matching import FieldTest, RowMatcher
from pgsnap.values import dataclass
from pgsnap.workflows.diff.recipe_steps import Placed
from pgsnap.workflows.diff.sections import AFTER, BEFORE, SectionPair, within_rows
from pgsnap.workflows.past.absence import Absence
from pgsnap.workflows.past.conditions import Condition, tests_of
from pgsnap.workflows.past.following import View, Views
from pgsnap.workflows.past.row_keys import RowKey
from pgsnap.workflows.past.tables import TablePart

# Chunks that are tried around the place that a row had in a newer snapshot.
_TRIED_NEAR = 8
# Nodes of recipes: neighbouring snapshots share nearly all of them.
_NODES_HELD = 512
# Rows of one key that are held. More are no answer to anything.
_HELD_BYTES_MAX = 64 * MIB
# No field contains a line end.
_NO_FIELD = FieldTest(0, b"\n")

PartName: TypeAlias = "tuple[str, str, int]"
"""The section of a part, as it is called in its own snapshot."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A row with the key: the part it is in, and its fields. *chunk* holds all of it and the end of
    the row before it, None if that is not so simple; *offset* is about where that is."""

    part: PartName
    fields: tuple[Field, ...]
    chunk: ChunkId | None
    offset: int

    @property
    def text(self) -> tuple[PartName, tuple[Field, ...]]:
        """What is equal of equal rows."""
        return self.part, self.fields


Rows: TypeAlias = "tuple[Hit, ...]"


class Presence:
    """Finds the rows with a key in one snapshot after another, the newest first."""

    def __init__(self, repo: Repository, key: RowKey, progress: Progress = SILENT) -> None:
        self._repo = repo
        self._chunks = repo.chunk_store
        self._key = key
        self._progress = progress
        self._read_node = lru_cache(_NODES_HELD)(repo.chunks.read)
        self._absence = Absence(repo, _layout, self._matcher, self._read_node, progress)
        self._read_bytes = 0
        self.read_at_most: int | None = None
        """How much may be read to look at many snapshots at once."""

    @property
    def read_bytes(self) -> int:
        """How many bytes of rows were read."""
        return self._read_bytes + self._absence.read_bytes

    def is_surely_absent(
        self, view: View, newer: tuple[View, Rows] | None, following: Views
    ) -> bool:
        """Return whether no row of *view* has the key, as far as that is found in many snapshots at
        once: in those *following*, if a *newer* one has none. Raises StoreError."""
        if newer is not None and not newer[1] and view.table is not None:
            left = None if self.read_at_most is None else self.read_at_most - self.read_bytes
            self._absence.look_ahead(newer[0], view, following, left)
        return self._absence.is_certain(view)

    def rows(self, view: View, newer: tuple[View, Rows] | None) -> Rows:
        """Return the rows in the table of *view*, from those that a *newer* snapshot has. Raises
        CorruptionError, ObjectNotFound, StoreError, and UsageError for too many rows."""
        if view.table is None:
            return ()
        compared = _Compared(view, newer)
        if newer is not None and len(newer[1]) == 1 and view.is_unique:
            found = self._still_there(compared, newer[1][0]) or self._near(compared, newer[1][0])
            if found is not None:
                return (found,)
        if newer is None or not newer[1]:
            return self._one_sided(compared, None)
        if len(newer[1]) == 1 and newer[1][0].chunk is not None:
            return self._one_sided(compared, newer[1][0])
        return self._two_sided(compared, newer[1])

    # -- one row that is unique ------------------------------------------------------------------

    def _still_there(self, compared: _Compared, hit: Hit) -> Hit | None:
        """Return the row where it is if the part that holds it did not change there."""
        for part, before in compared.pairs:
            if before is None or name_of(before) != hit.part:
                continue
            (kept,) = self._kept(part, before, [hit])
            if kept.chunk is not None or same_text(before.section, part.section):
                return kept
        return None

    def _near(self, compared: _Compared, hit: Hit) -> Hit | None:
        """Look for the row in some chunks around its place; None proves nothing."""
        for part, before in compared.pairs:
            if before is None or name_of(before) != hit.part:
                continue
            entries = list(self._entries(part.section))
            places = [0, *accumulate(entry.plain_bytes for entry in entries)]
            middle = max(bisect_right(places, hit.offset) - 1, 0)
            old = self._ids(before.section) if hit.chunk is not None else frozenset()
            order = sorted(range(len(entries)), key=lambda number: abs(number - middle))
            finder = _Finder(self._matcher(part, compared.view), None)
            for number in order[:_TRIED_NEAR]:
                entry = entries[number]
                if entry.chunk in old:
                    continue
                data = self._repo.chunks.read(entry.chunk, entry.plain_bytes)
                self._advance(len(data), part)
                found = finder.inside(part, Placed(entry, places[number]), data)
                if found is not None:
                    return found
        return None

    # -- any rows ----------------------------------------------------------------------------------

    def _one_sided(self, compared: _Compared, hit: Hit | None) -> Rows:
        """Return the rows by reading the older side only: the newer one has *hit* and no other."""
        view = compared.view
        found: list[Hit] = []
        # The row's own part first: there it is most often.
        for part, before in sorted(compared.pairs, key=lambda pair: not _holds(pair[1], hit)):
            is_its = _holds(before, hit)
            if before is not None and same_text(before.section, part.section):
                if is_its and hit is not None:
                    found += self._kept(part, before, [hit])
                continue
            finder = _Finder(self._matcher(part, view), None)
            forced = {hit.chunk} if is_its and hit is not None and hit.chunk is not None else ()
            pair = SectionPair(
                self._chunks,
                part.section,
                before.section if before is not None else None,
                finder,
                self._progress,
                only=BEFORE,
                forced=forced,
                until=lambda: view.is_unique and bool(finder.hits[BEFORE]),  # noqa: B023
            )
            finder.attach(pair, (part, before))
            pair.compare()
            self._read_bytes += pair.read_bytes
            if view.is_unique and finder.hits[BEFORE]:
                # It may have ended within another row.
                found += finder.hits[BEFORE]
                break
            finder.finish()
            found += finder.hits[BEFORE]
        return _bounded(found)

    def _two_sided(self, compared: _Compared, rows: Rows) -> Rows:
        """Return the rows of the newer side, less those that are in its part of the difference,
        plus those in the older side's: rows that only moved cancel out."""
        left = Counter(hit.text for hit in rows)
        known = {hit.text: hit for hit in rows}
        found: list[Hit] = []
        names = {}
        for part, before in compared.pairs:
            if before is None:
                continue
            names[name_of(before)] = part, before
            if not same_text(before.section, part.section):
                newer = self._matcher(before, compared.newer) if compared.newer else None
                finder = _Finder(self._matcher(part, compared.view), newer)
                pair = SectionPair(
                    self._chunks, part.section, before.section, finder, self._progress
                )
                finder.attach(pair, (part, before))
                pair.compare()
                self._read_bytes += pair.read_bytes
                finder.finish()
                found += finder.hits[BEFORE]
                left.subtract(hit.text for hit in finder.hits[AFTER])
        stayed: list[Hit] = []
        for name, texts in groupby(sorted(left.elements(), key=_part_of), _part_of):
            if name in names:
                stayed += self._kept(*names[name], [known[text] for text in texts])
        alone = [part for part, before in compared.pairs if before is None]
        for part in alone:
            found += self._one_sided(_Compared.of_part(compared.view, part), None)
        return _bounded([*stayed, *found])

    def _kept(self, part: TablePart, before: TablePart, hits: Sequence[Hit]) -> list[Hit]:
        """Return rows of *before* that are in *part* too, as they are there: not in the same chunks
        where the same text was cut otherwise, or another row with the same fields stayed."""
        chunks = {hit.chunk for hit in hits if hit.chunk is not None}
        if chunks and part.section.segments != before.section.segments:
            chunks &= {e.chunk for e in self._entries(part.section) if e.chunk in chunks}
        return [
            Hit(name_of(part), hit.fields, hit.chunk if hit.chunk in chunks else None, hit.offset)
            for hit in hits
        ]

    # -- chunks ------------------------------------------------------------------------------------

    def _entries(self, section: Section) -> Iterator[RecipeEntry]:
        for recipe in section.recipes:
            yield from walk(recipe, self._read_node)

    def _ids(self, section: Section) -> frozenset[ChunkId]:
        return frozenset(entry.chunk for entry in self._entries(section))

    def _matcher(self, part: TablePart, view: View) -> RowMatcher:
        assert view.table is not None
        columns = part.columns or ()
        types = [view.table.types.get(name, "") for name in columns]
        try:
            tests = key_tests(self._key, view.key, columns, types, view.table.encoding)
        except UsageError:
            # The column had another type then, of which this is no value.
            tests = [_NO_FIELD]
        return RowMatcher(tests, len(columns))

    def _advance(self, size: int, part: TablePart) -> None:
        self._read_bytes += size
        self._progress.advance(size, str(part.section.name))


def key_tests(
    key: RowKey,
    names: Sequence[str],
    columns: Sequence[str],
    types: Sequence[str],
    encoding: str,
) -> list[FieldTest]:
    """Return what tests the fields of rows for a *key*, whose columns have these *names*. Raises
    UsageError for what is no value of a column's type."""
    wanted = [Condition(name, text) for name, text in zip(names, key.texts, strict=True)]
    return tests_of(wanted, columns, types, encoding)


def _part_of(text: tuple[PartName, tuple[Field, ...]]) -> PartName:
    return text[0]


def _holds(part: TablePart | None, hit: Hit | None) -> bool:
    return part is not None and hit is not None and name_of(part) == hit.part


def name_of(part: TablePart) -> PartName:
    """Return the name of a part's section."""
    name = part.section.name
    return name.schema, name.name, name.part


class _Compared:
    """The parts of a table, each with what it was in the newer snapshot if rows are found in it by
    the same fields; None otherwise."""

    def __init__(self, view: View, newer: tuple[View, Rows] | None) -> None:
        assert view.table is not None
        self.view = view
        self.newer = newer[0] if newer is not None else None
        later = self.newer.table if self.newer is not None else None
        there = {}
        if later is not None and self.newer is not None:
            # A renamed table's own sections have its other name.
            there = {_called(name_of(p), later.name, view.table.name): p for p in later.parts}
        self.pairs: list[tuple[TablePart, TablePart | None]] = []
        for part in view.table.parts:
            before = there.get(name_of(part))
            if before is not None and self.newer is not None and not self._alike(part, before):
                before = None
            self.pairs.append((part, before))

    @classmethod
    def of_part(cls, view: View, part: TablePart) -> _Compared:
        """Return a comparison of one part with nothing."""
        made = cls(view, None)
        made.pairs = [(part, None)]
        return made

    def _alike(self, part: TablePart, before: TablePart) -> bool:
        assert self.newer is not None
        return _layout(part, self.view) == _layout(before, self.newer)


def _called(name: PartName, now: tuple[str, str], then: tuple[str, str]) -> PartName:
    return (*then, name[2]) if name[:2] == now else name


def _layout(part: TablePart, view: View) -> object:
    """Return what decides how the fields of a key are found in a part's rows."""
    columns = part.columns or ()
    assert view.table is not None
    places = tuple(columns.index(one) for one in view.key if one in columns)
    types = tuple(view.table.types.get(one, "") for one in view.key)
    return len(columns), places, types, view.table.encoding


def _bounded(found: list[Hit]) -> Rows:
    size = sum(
        len(field) if isinstance(field, bytes) else len(field.head)
        for hit in found
        for field in hit.fields
    )
    if size > _HELD_BYTES_MAX:
        raise UsageError(
            f"{len(found)} rows have this key, too many to be followed",
            hint="Name more columns, so that they say which row is meant: --key COLUMN,COLUMN",
        )
    return tuple(found)


class _Finder:
    """Takes the rows that differ and keeps those with the key: of both sides, or of the older one
    only."""

    def __init__(self, older: RowMatcher, newer: RowMatcher | None) -> None:
        self._matchers = older, newer
        self._assemblies = RowAssembly(), RowAssembly()
        self._pair: SectionPair | None = None
        self._parts: tuple[TablePart | None, TablePart | None] = None, None
        self.hits: tuple[list[Hit], list[Hit]] = [], []

    def attach(self, pair: SectionPair, parts: tuple[TablePart | None, TablePart | None]) -> None:
        """Begin to take what *pair* passes, rows of these *parts*."""
        self._pair, self._parts = pair, parts

    def feed(self, side: int, block: bytes) -> None:
        if self._matchers[side] is None:
            return
        placed = self._pair.passing if self._pair is not None else None
        is_begun = self._assemblies[side].is_in_row
        for rows in self._assemblies[side].feed(block):
            self._take(side, rows, None if is_begun else placed)
            is_begun = False

    def is_in_row(self, side: int) -> bool:
        return self._assemblies[side].is_in_row

    def finish(self) -> None:
        """End the input."""
        for side, assembly in enumerate(self._assemblies):
            for rows in assembly.finish():
                self._take(side, rows, None)

    def inside(self, part: TablePart, placed: Placed, data: bytes) -> Hit | None:
        """Return the row with the key that is complete in a chunk, whatever is before it."""
        rows = within_rows(part.section, placed.offset, data)
        is_first = placed.offset < part.section.head_bytes
        start = 0 if is_first else rows.find(b"\n") + 1
        matcher = self._matchers[BEFORE]
        assert matcher is not None
        text = rows[start : rows.rfind(b"\n") + 1]
        for first, last in matcher.find(text):
            fields = tuple(text[first:last].split(b"\t"))
            return Hit(name_of(part), fields, placed.entry.chunk, placed.offset)
        return None

    def _take(self, side: int, rows: bytes | LongRow, placed: Placed | None) -> None:
        matcher, part = self._matchers[side], self._parts[side]
        assert matcher is not None
        assert part is not None
        passing = self._pair.passing if self._pair is not None else None
        offset = passing.offset if passing is not None else 0
        found: list[tuple[bool, Sequence[Field]]] = []
        if isinstance(rows, bytes):
            for first, last in matcher.find(rows):
                # Whether the row before it ends in the same chunk.
                is_inside = placed is not None and first > 0
                found.append((is_inside, rows[first:last].split(b"\t")))
        elif matcher.matches(rows):
            found.append((False, rows))
        for is_inside, fields in found:
            chunk = placed.entry.chunk if is_inside and placed is not None else None
            self.hits[side].append(Hit(name_of(part), tuple(fields), chunk, offset))
