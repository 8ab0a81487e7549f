"""Making a section of its former version and the blocks of its table that changed.

Only chunks in which something changed are read and written, and only the nodes above them; the rest
of the recipe stays. A chunk that got too large is cut, and one that got too small is joined with
the next.

changed blocks -> edits -> units -> batches -> [job: read, check, splice, encode] -> in order ->
packs, recipe; leaves, of which those that changed are read from what is in hand.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from pgsnap.chunking.leaf_updates import Edit, update_leaves
from pgsnap.chunking.leaves import Leaf, LeafTree, encode_leaf
from pgsnap.errors import CorruptionError, ObjectNotFound
from pgsnap.format.recipe import decode_node
from pgsnap.limits import BATCH_BYTES, BATCHES_IN_FLIGHT, MIB
from pgsnap.model import (
    BlockMap,
    ChangedBlocks,
    ChunkId,
    RecipeEntry,
    Section,
    Segment,
)
from pgsnap.repository.chunks.recipes import RecipeBuilder, node_at
from pgsnap.repository.scopes import in_turn
from pgsnap.repository.sections.leaf_lists import is_listed, leaves_of
from pgsnap.repository.splicing.block_edits import (
    BlockEditor,
    BlockEdits,
    SpliceMismatch,
    joined,
)
from pgsnap.repository.splicing.jobs import Job
from pgsnap.repository.splicing.spliced_text import Piece, Spliced, Unit, spliced
from pgsnap.repository.splicing.watching import ADDED, REMOVED, TextSink

if TYPE_CHECKING:
    from pgsnap.repository.chunks.ingest import Ingest

# A unit with more new text than this is stored in several: rows may be added without end.
_UNIT_BYTES_MAX = 8 * MIB

_Kept: TypeAlias = "tuple[RecipeEntry, int]"
"""A chunk (level 0) or node that stays as it is."""
_Items: TypeAlias = "list[_Kept | Unit]"


def splice(
    ingest: Ingest,
    section: Section,
    block_map: BlockMap,
    changed: Iterable[ChangedBlocks],
    total_blocks: int,
    sink: TextSink | None = None,
) -> Section:
    """Store a table's section as it is now, and return it; *section* is how it was.

    *block_map* is that of the former text. *changed* are all blocks that changed or are new, in
    ascending order; *total_blocks* is how many there are now. *sink* is given the former and the
    new text of blocks that changed. Raises SpliceMismatch if anything does not fit, or cannot be
    read: then the table has to be read in full. Nothing that was stored until then is lost: a full
    read finds it.
    """
    if section.rows is None or len(section.segments) != 1 or section.leaf_digest is None:
        raise SpliceMismatch(f"{section.name} was not stored in a way that can be spliced")
    editor = BlockEditor(section, block_map, total_blocks)
    work = _Splicing(ingest, section, editor.edits(changed), sink)
    try:
        leaves = b"".join(encode_leaf(leaf) for leaf in work.leaves())
    except (CorruptionError, ObjectNotFound) as error:
        raise SpliceMismatch(
            f"{section.name} has to be read in full", detail=f"{error.message}."
        ) from error
    finally:
        work.settle()
    return work.finish(editor, leaves)


class _Splicing:
    """One section being spliced."""

    def __init__(
        self,
        ingest: Ingest,
        section: Section,
        edits: Iterator[BlockEdits],
        sink: TextSink | None,
    ) -> None:
        self._ingest = ingest
        self._sink = sink
        self._section = section
        self._reader = ingest.chunks.reader
        self._former = section.segments[0].recipe
        self._recipe = RecipeBuilder(self._store_node)
        self._bounds = ingest.chunks.config.chunker
        self._edits = _Edits(edits)
        self._plan = self._items()
        self._under_way: deque[tuple[_Items, Job[list[Spliced]] | None]] = deque()
        self._planned: deque[Edit] = deque()
        self._removed_rows = 0
        # The new text that is known so far, and not read past: where each part begins, and what it
        # is.
        self._text: deque[tuple[int, _Kept | bytes]] = deque()
        self._text_end = 0

    # -- leaves --------------------------------------------------------------------------------

    def leaves(self) -> Iterator[Leaf]:
        """Yield the leaves of the new text; on the way all of it is stored."""
        former = leaves_of(self._reader, self._section)
        self.tree = LeafTree()
        for leaf in update_leaves(former, self._all_edits(), self._read):
            self.tree.add(leaf)
            yield leaf
        while self._plan_batch() or self._under_way:
            self._collect()

    def _all_edits(self) -> Iterator[Edit]:
        """Yield the edits of the section; the work on them is begun as far ahead as it may be."""
        while True:
            while len(self._under_way) < BATCHES_IN_FLIGHT and self._plan_batch():
                pass
            if self._planned:
                yield self._planned.popleft()
            elif self._under_way:
                self._collect()
            else:
                return

    def _read(self, start: int, stop: int) -> bytes:
        """Return new text; what lies before *start* is not asked for again."""
        while self._text_end < stop:
            if not self._under_way and not self._plan_batch():
                raise SpliceMismatch(f"the leaves of {self._section.name} do not fit its text")
            self._collect()
        while len(self._text) > 1 and self._text[1][0] <= start:
            self._text.popleft()
        parts: list[memoryview] = []
        for place, part in self._text:
            if place >= stop:
                break
            for at, data in self._bytes_of(place, part, start, stop):
                parts.append(memoryview(data)[max(start - at, 0) : stop - at])
        return b"".join(parts)

    def _bytes_of(
        self, place: int, part: _Kept | bytes, start: int, stop: int
    ) -> Iterator[tuple[int, bytes]]:
        """Yield the chunks of a *part* of the text that lie between *start* and *stop*."""
        if isinstance(part, bytes):
            yield place, part
            return
        entry, level = part
        if place >= stop or place + entry.plain_bytes <= start:
            return
        if not level:
            yield place, self._reader.read(entry.chunk, entry.plain_bytes)
            return
        for child in decode_node(self._reader.read(entry.chunk), level):
            yield from self._bytes_of(place, (child, level - 1), start, stop)
            place += child.plain_bytes

    # -- plan ----------------------------------------------------------------------------------

    def _plan_batch(self) -> bool:
        """Begin the work on the next part of the section; return whether there was any."""
        items: _Items = []
        size = 0
        for item in self._plan:
            items.append(item)
            size += item.plain_bytes if isinstance(item, Unit) else 0
            if size >= BATCH_BYTES or len(items) >= 1000:
                break
        if not items:
            return False
        units = [item for item in items if isinstance(item, Unit)]
        for unit in units:
            self._planned += unit.edits()
        job = None
        if units:
            ingest, keep_edited = self._ingest, self._sink is not None
            task = partial(in_turn, spliced, ingest, units, keep_edited)
            job = Job(ingest.splicers, task)
        self._under_way.append((items, job))
        return True

    def _items(self) -> Iterator[_Kept | Unit]:
        """Yield what the new text consists of."""
        unit = Unit()
        root = self._former
        if root.chunk is not None:
            top = RecipeEntry(root.chunk, root.plain_bytes, root.lines)
            yield from self._below(top, root.level, 0, True, unit)
        if unit.pieces:
            yield unit.taken()

    def _below(
        self, entry: RecipeEntry, level: int, start: int, is_last: bool, unit: Unit
    ) -> Iterator[_Kept | Unit]:
        end = start + entry.plain_bytes
        if not unit.pieces and not self._edits.touch(start, end) and not (is_last and level):
            yield entry, level
        elif not level:
            yield from self._chunk(entry, start, unit)
        else:
            children = decode_node(self._reader.read(entry.chunk), level)
            for number, child in enumerate(children, 1):
                last = is_last and number == len(children)
                yield from self._below(child, level - 1, start, last, unit)
                start += child.plain_bytes

    def _chunk(self, entry: RecipeEntry, start: int, unit: Unit) -> Iterator[Unit]:
        """Add a chunk to the *unit*, and yield that as often as it is large enough."""
        end = start + entry.plain_bytes
        removed_from, begin = start, min(max(start, self._edits.carried), end)
        while True:
            edits, goes_on = self._edits.take(end, _UNIT_BYTES_MAX)
            stop = min(self._edits.carried, end) if goes_on else end
            unit.add(Piece(entry, start, removed_from, begin, stop, edits))
            if unit.plain_bytes >= self._bounds.min_bytes:
                yield unit.taken()
            if not goes_on:
                return
            removed_from = begin = stop

    # -- results -------------------------------------------------------------------------------

    def _collect(self) -> None:
        """Take the result of the oldest batch."""
        items, job = self._under_way.popleft()
        later = (each for _, each in self._under_way if each is not None)
        results = iter(job.result(later) if job is not None else ())
        for item in items:
            if not isinstance(item, Unit):
                self._keep(*item)
                self._add_text(item[0].plain_bytes, item)
                continue
            found = next(results)
            self._removed_rows += found.removed_rows
            for removed, added in found.edited:
                assert self._sink is not None
                self._sink.feed(REMOVED, removed)
                self._sink.feed(ADDED, added)
            for entry, text in found.take(self._ingest):
                self._recipe.add(entry)
                self._add_text(len(text), text)

    def _add_text(self, size: int, part: _Kept | bytes) -> None:
        self._text.append((self._text_end, part))
        self._text_end += size

    def _keep(self, entry: RecipeEntry, level: int) -> None:
        """Add a chunk, or a node: its children where no node of the recipe ends before it."""
        if not level:
            self._recipe.add(entry)
        elif not self._recipe.add_node(entry, level):
            for child in decode_node(self._reader.read(entry.chunk), level):
                self._keep(child, level - 1)

    def _store_node(self, node: bytes, level: int, first_line: int) -> ChunkId:
        base = node_at(self._former, level, first_line, self._reader.read)
        return self._ingest.store_node(node, base)

    def settle(self) -> None:
        """Write what was encoded, also after an error: nobody else would, since it is claimed."""
        while self._under_way:
            _, job = self._under_way.popleft()
            if job is None or job.cancel():
                continue
            try:
                results = job.result(())
            except (CorruptionError, ObjectNotFound, SpliceMismatch):
                continue
            for found in results:
                for _ in found.take(self._ingest):
                    pass

    def finish(self, editor: BlockEditor, leaves: bytes) -> Section:
        """Return the section, after the last leaf."""
        former, recipe = self._section, self._recipe.finish()
        assert former.rows is not None
        block_map = editor.block_map()
        rows = former.rows - editor.removed_rows + editor.added_rows
        size = former.head_bytes + editor.text_bytes + former.tail_bytes
        if (
            self._removed_rows != editor.removed_rows
            or recipe.plain_bytes != size
            or recipe.lines - former.lines != rows - former.rows
        ):
            raise SpliceMismatch(f"the rows of {former.name} are not those that were counted")
        digest = self.tree.digest()
        store_side = self._ingest.store_side
        return replace(
            former,
            plain_bytes=recipe.plain_bytes,
            lines=recipe.lines,
            digest=digest if self.tree.leaves < 2 else None,
            segments=(Segment(recipe),),
            rows=rows,
            leaf_digest=digest,
            leaves=store_side(leaves, former.leaves)
            if is_listed(leaves, recipe.plain_bytes)
            else None,
            block_map=store_side(block_map.byte_counts + block_map.row_counts, former.block_map),
            baseline=None,
        )


class _Edits:
    """Edits that are taken chunk by chunk."""

    def __init__(self, edits: Iterator[BlockEdits]) -> None:
        self._edits = edits
        # Those of them that are at hand, and how many of these were taken.
        self._ahead: BlockEdits | None = next(edits, None)
        self._taken = 0
        # How far the removed text of the edits taken reaches.
        self._carried = 0

    def touch(self, start: int, end: int) -> bool:
        """Return whether an edit removes or adds anything from *start* to before *end*."""
        return self._carried > start or self.begin_before(end)

    @property
    def carried(self) -> int:
        """How far the text reaches that the edits taken so far remove."""
        return self._carried

    def take(self, end: int, bytes_max: int) -> tuple[BlockEdits | None, bool]:
        """Return the next edits that begin before *end* and add at most *bytes_max* together, but
        at least one; and whether there are more."""
        taken: list[BlockEdits] = []
        size = 0
        while self.begin_before(end) and size < bytes_max:
            ahead, first = self._ahead, self._taken
            assert ahead is not None
            begin = ahead.ends[first - 1] if first else 0
            last = bisect_left(ahead.starts, end, first)
            fit = bisect_right(ahead.ends, begin + bytes_max - size, first, last)
            if fit == first and taken:
                break
            self._taken = max(fit, first + 1)
            taken.append(ahead.part(first, self._taken))
            size += len(taken[-1].text)
            if self._taken == len(ahead):
                self._ahead, self._taken = next(self._edits, None), 0
        if not taken:
            return None, False
        self._carried = taken[-1].stops[-1]
        return joined(taken), self.begin_before(end)

    def begin_before(self, end: int) -> bool:
        """Return whether the next edit begins before *end*."""
        return self._ahead is not None and self._ahead.starts[self._taken] < end
