"""Copying lists of chunks to a repository with other keys: the same lists, of other ids."""

from __future__ import annotations

from collections.abc import Sequence

from pgsnap.errors import CorruptionError, ObjectNotFound
from pgsnap.format.copies import copied_node, copied_piece
from pgsnap.limits import DELTA_DEPTH_MAX
from pgsnap.maintenance.transfer.renaming import Renaming
from pgsnap.model import ChunkId, ChunkKind, RecipeRoot
from pgsnap.repository.chunks.packs import PackWriter
from pgsnap.repository.index.copied_ids import Role
from pgsnap.repository.lists.lists import PIECE, own_level

# Some 300 bytes each.
_REMEMBERED_MAX = 100_000


class _NotCopied(Exception):
    """A list names a chunk that was not copied: nothing can be encoded against it."""


class ListCopier:
    """Writes the lists that the target lacks to *packs*, those below a list before it."""

    def __init__(self, renaming: Renaming, packs: PackWriter) -> None:
        self._renaming = renaming
        self._source, self._target = renaming.source, renaming.target
        self._known = renaming.known
        self._packs = packs
        self._encoder = self._target.encoder()
        self._copied: dict[tuple[ChunkId, Role], ChunkId] = {}
        # The ranks of what was written.
        self._ranks: dict[ChunkId, int] = {}

    def table(self, root: RecipeRoot) -> ChunkId | None:
        """Copy the lists of a section table; return its new root. All that they list must be on its
        way. Raises CorruptionError, StoreError."""
        return None if root.chunk is None else self._list(root.chunk, PIECE + root.level)

    def _list(self, chunk: ChunkId, level: int) -> ChunkId:
        role = _role(level)
        if (found := self._copied.get((chunk, role))) is not None:
            return found
        new = self._known.of([chunk], role).get(chunk) if level == 1 else None
        # What it lists is data, which travels anyway; other lists are looked into.
        if new is None or not self._is_there(new):
            data = self._rewritten(self._source.reader.read(chunk), level)
            new = self._renaming.name(data)
            if not self._is_there(new):
                self._write(chunk, level, new, data)
            self._known.learn({chunk: new}, role)
        if len(self._copied) >= _REMEMBERED_MAX:
            self._copied.clear()
        self._copied[chunk, role] = new
        return new

    def _is_there(self, new: ChunkId) -> bool:
        return new in self._ranks or bool(self._target.index.known([new]))

    def _rewritten(self, data: bytes, level: int, *, only_copied: bool = False) -> bytes:
        """Return a list with the ids of the target. Raises CorruptionError; if *only_copied*,
        _NotCopied for a chunk whose id there is not known."""

        def new_ids(old: Sequence[ChunkId], own: int) -> list[ChunkId]:
            below = own if level == PIECE else level - 1
            known = self._known.of(old, _role(below))
            if only_copied and any(chunk not in known for chunk in old):
                raise _NotCopied
            if below == 0:
                return [known.get(chunk) or self._data(chunk) for chunk in old]
            return [known[chunk] if only_copied else self._list(chunk, below) for chunk in old]

        if level == PIECE:
            return copied_piece(data, new_ids)
        return copied_node(data, own_level(level), new_ids)

    def _data(self, chunk: ChunkId) -> ChunkId:
        """Copy a data chunk that is a list too: as such it was not taken for data."""
        plain = self._source.reader.read(chunk)
        new = self._renaming.name(plain)
        if not self._is_there(new):
            self._add(new, plain, ChunkKind.DATA, None)
        self._known.learn({chunk: new}, Role.DATA)
        return new

    def _write(self, chunk: ChunkId, level: int, new: ChunkId, data: bytes) -> None:
        frame = self._source.index.locations([chunk])[chunk][0].frame
        base = None
        if frame.base is not None:
            base = self._base(frame.base, level, frame.depth)
        self._add(new, data, ChunkKind.SECTIONS if level == PIECE else ChunkKind.RECIPE, base)

    def _base(self, chunk: ChunkId, level: int, rank: int) -> tuple[ChunkId, int, bytes] | None:
        """Return the copy of a list's base, the rank of a delta against it, and its bytes; None if
        it was not copied, or its chain is too long there."""
        try:
            data = self._rewritten(self._source.reader.read(chunk), level, only_copied=True)
        except (CorruptionError, ObjectNotFound, _NotCopied):
            return None
        base = self._renaming.name(data)
        ranks = [self._ranks[base]] if base in self._ranks else []
        if self._target.index.known([base]):
            frames = self._target.index.sound_frames([base])
            ranks += [0 if below is None else depth for depth, _, below in frames]
        rank = max(rank, max(ranks, default=DELTA_DEPTH_MAX) + 1)
        return (base, rank, data) if rank < DELTA_DEPTH_MAX else None

    def _add(
        self, new: ChunkId, data: bytes, kind: ChunkKind, base: tuple[ChunkId, int, bytes] | None
    ) -> None:
        frame, packed = self._encoder.encode_like(new, data, kind, base)
        self._ranks[new] = frame.depth
        self._packs.add(frame, packed)


def _role(level: int) -> Role:
    if level > PIECE:
        return Role.TABLE_NODE
    if level == PIECE:
        return Role.PIECE
    return Role.NODE if level else Role.DATA
