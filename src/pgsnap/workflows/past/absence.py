"""In which snapshots a table surely has no row with a key, found for many snapshots at once.

Looking at them one after the other reads, for each, the chunks that differ from the next newer one,
and decodes each along its whole chain. Here the chunks of many snapshots are searched in the order
of their chains (`repository/chunks/lineages.py`). Only absence is found in this way, and only where
all is simple: in a chunk that has a row with the key, that ends within a row, or that cannot be
read, there may be one, and the snapshots that have it are looked at as all others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import field
from itertools import islice
from typing import TypeAlias

from pgsnap.errors import CorruptionError, ObjectNotFound
from pgsnap.limits import MIB
from pgsnap.model import ChunkId, SnapshotId
from pgsnap.progress import Progress
from pgsnap.repository.chunks.lineages import Places, search
from pgsnap.repository.repository import Repository
from pgsnap.rows.matching import RowMatcher
from pgsnap.values import dataclass
from pgsnap.workflows.past.borders import Borders
from pgsnap.workflows.past.following import View, Views
from pgsnap.workflows.past.tables import TablePart

# Snapshots that are searched at once: at first few, as the row may have been there lately.
_AT_ONCE_FIRST, _AT_ONCE_MAX, _GROWTH = 4, 256, 4
# Of larger tables one snapshot is looked at after the other. What is known of a chunk takes some
# 200 bytes: 40 MB; it is one of about 400 kB.
_KNOWN_MAX = 200_000
_TABLE_BYTES_MAX = 64 * 1024 * MIB
# Chunks that are searched at once; some 700 bytes each, with their places.
_WANTED_MAX = 50_000
# Places in lists of these, of 8 bytes each.
_LISTED_MAX = 2_000_000
# Parts of tables, of about 1 kB each, and definitions.
_PARTS_MAX = 20_000
_DEFINITIONS_MAX = 16

Form: TypeAlias = object
"""What is equal of parts whose rows are searched alike."""


@dataclass(slots=True)
class _Window:
    """Some snapshots: for each the chunks that may hold a row that is not in *newer*, by form."""

    borders: dict[Form, Borders] = field(default_factory=dict)
    matchers: dict[Form, RowMatcher] = field(default_factory=dict)
    views: dict[SnapshotId, list[tuple[Form, tuple[ChunkId, ...]]]] = field(default_factory=dict)
    details: str = ""

    def is_full(self) -> bool:
        borders = self.borders.values()
        return (
            sum(map(len, borders)) > _WANTED_MAX or sum(one.listed for one in borders) > _LISTED_MAX
        )

    @property
    def wanted_bytes(self) -> int:
        return sum(one.wanted_bytes for one in self.borders.values())


class Absence:
    """Finds in which of the snapshots to come no row has the key. *form_of* and *matcher_of* say of
    a part of a table how its rows are searched; *read_node* reads a node of a recipe."""

    def __init__(
        self,
        repo: Repository,
        form_of: Callable[[TablePart, View], Form],
        matcher_of: Callable[[TablePart, View], RowMatcher],
        read_node: Callable[[ChunkId], bytes],
        progress: Progress,
    ) -> None:
        self._chunks = repo.chunk_store
        self._form_of = form_of
        self._matcher_of = matcher_of
        self._read_node = read_node
        self._progress = progress
        self._at_once = 1
        self._is_too_large = False
        self._searched: set[SnapshotId] = set()
        self._without: set[SnapshotId] = set()
        self.read_bytes = 0

    def is_certain(self, view: View) -> bool:
        """Return whether it is known that no row in the table of *view* has the key."""
        return view.snapshot_id in self._without

    def look_ahead(
        self, newer: View, view: View, following: Views, bytes_max: int | None = None
    ) -> None:
        """Search *view* and some of those *following* it, unless that was done before; no row of
        *newer* has the key. Reads at most *bytes_max* bytes of rows. Raises StoreError."""
        if view.snapshot_id in self._searched or self._is_too_large:
            return
        if self._at_once == 1:
            # The next snapshot alone is looked at faster without.
            self._at_once = _AT_ONCE_FIRST
            return
        window = self._gathered(newer, [view], following, bytes_max)
        self._at_once = min(_GROWTH * self._at_once, _AT_ONCE_MAX)
        without = {form: self._search(window, form) for form in window.borders}
        self._without |= {
            snapshot_id
            for snapshot_id, lists in window.views.items()
            if all(without[form].issuperset(some) for form, some in lists)
        }

    # -- which chunks ------------------------------------------------------------------------------

    def _gathered(
        self, newer: View, first: Sequence[View], following: Views, bytes_max: int | None
    ) -> _Window:
        """Return what to search of *first*, and of as many views after it as there is room for."""
        window = _Window()
        parts = 0
        definitions: set[int] = set()
        known = newer.table.parts if newer.table is not None else ()
        by_form: dict[Form, list[TablePart]] = {}
        for part in known:
            by_form.setdefault(self._form_of(part, newer), []).append(part)
        for view in _each(first, following, self._at_once):
            self._searched.add(view.snapshot_id)
            if view.table is None or view.unknown or view.is_end:
                continue
            parts += len(view.table.parts)
            definitions.add(id(view.table.tables.definitions))
            try:
                lists = self._lists(window, view, by_form)
            except (CorruptionError, ObjectNotFound):
                # It is looked at by itself, and what is damaged is named.
                continue
            self._is_too_large = lists is None
            if lists is None or (bytes_max is not None and window.wanted_bytes > bytes_max):
                break
            window.views[view.snapshot_id] = lists
            if window.is_full() or parts > _PARTS_MAX or len(definitions) > _DEFINITIONS_MAX:
                break
        return window

    def _lists(
        self, window: _Window, view: View, by_form: dict[Form, list[TablePart]]
    ) -> list[tuple[Form, tuple[ChunkId, ...]]] | None:
        """Return the chunks that may hold the row in *view*; None if there is too much to know,
        or what is known does not fit."""
        assert view.table is not None
        if view.table.plain_bytes > _TABLE_BYTES_MAX:
            return None
        found: list[tuple[Form, tuple[ChunkId, ...]]] = []
        for part in view.table.parts:
            window.details = window.details or str(part.section.name)
            form = self._form_of(part, view)
            borders = window.borders.get(form)
            if borders is None:
                borders = Borders(self._read_node)
                known = (one.section for one in by_form.get(form, ()))
                others = sum(one.known for one in window.borders.values())
                if not borders.know(known, _KNOWN_MAX - others):
                    return None
                window.borders[form] = borders
                window.matchers[form] = self._matcher_of(part, view)
            new = borders.new_in(part.section)
            if new is None:
                return None
            found += ((form, some) for some in new)
        return found

    # -- searching them ----------------------------------------------------------------------------

    def _search(self, window: _Window, form: Form) -> set[ChunkId]:
        """Return the chunks of this form that surely have no row with the key."""
        matcher = window.matchers[form]
        without: set[ChunkId] = set()

        def may_have(plain: bytes, places: Places | None) -> bool:
            if not plain.endswith(b"\n"):
                # A row goes on in the next chunk.
                return True
            rows = plain if places is None else rows_at(plain, places)
            return next(matcher.find(rows), None) is not None

        sizes = window.borders[form].wanted
        listed = (some for lists in window.views.values() for of, some in lists if of == form)
        wanted = {chunk: sizes[chunk] for some in listed for chunk in some}
        waiting = iter(wanted.items())
        # Of a table whose form changed one snapshot alone may have more than so many.
        while some := dict(islice(waiting, _WANTED_MAX)):
            for result in search(self._chunks, some, may_have):
                without |= result.without
                self.read_bytes += result.read_bytes
                self._progress.advance(result.read_bytes, window.details)
        return without


def rows_at(plain: bytes, places: Places) -> bytes:
    """Return the rows of *plain* that something at *places*, which ascend, belongs to, and those
    that begin or end there. It ends with a line end."""
    found = []
    end = 0
    for start, stop in places:
        if stop < end:
            continue
        first = max(plain.rfind(b"\n", 0, start) + 1, end)
        end = plain.find(b"\n", stop) + 1 or len(plain)
        found.append(plain[first:end])
    return b"".join(found)


def _each(first: Iterable[View], following: Views, count: int) -> Iterable[View]:
    yield from first
    yield from following.upcoming(count - 1)
