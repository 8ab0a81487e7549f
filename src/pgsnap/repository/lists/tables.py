"""Lists of chunks that also assign each chunk to a table: the first that it is found in."""

from __future__ import annotations

from array import array
from collections.abc import Iterable

from pgsnap.format.sections import decode_piece
from pgsnap.model import RecipeRoot, SectionName
from pgsnap.repository.chunks.chunks import ChunkReader
from pgsnap.repository.index.frame_table import NOBODY, Array, FrameTable
from pgsnap.repository.lists.lists import PIECE, Listed, Lists, listed

# The group of the section tables' lists themselves; tables are numbered from 1.
_LISTS = 0


class TableLists(Lists):
    """`group[c]` is the number of the table (or other section) that chunk c was assigned to, NOBODY
    if it was not found yet."""

    def __init__(self, table: FrameTable, chunks: ChunkReader) -> None:
        import numpy as np

        super().__init__(table, chunks)
        self.group = np.full(table.chunks, NOBODY, np.int32)
        self._groups: dict[SectionName, int] = {}
        self._digest_groups, self._digests = array("i"), array("Q")

    def versions(self) -> tuple[list[SectionName | None], list[int]]:
        """Return the names of all groups, None for the section tables' lists, and how many
        different contents each had."""
        import numpy as np

        names: list[SectionName | None] = [None, *self._groups]
        pairs = np.zeros(len(self._digests), [("group", np.int32), ("digest", np.uint64)])
        pairs["group"], pairs["digest"] = self._digest_groups, self._digests
        return names, np.bincount(np.unique(pairs)["group"], minlength=len(names)).tolist()

    def tables(self, roots: Iterable[RecipeRoot]) -> tuple[Array, Array, Array]:
        found = super().tables(roots)
        self.group[found[0]] = _LISTS
        return found

    def _listed(self, read: Iterable[tuple[int, int, bytes]]) -> Listed:
        import numpy as np

        lists: list[int] = []
        found: list[tuple[Array, Array]] = [self.known([], [])[:2]]
        for number, level, data in read:
            lists.append(number)
            if level == PIECE:
                found.append(self._given(*self._piece(data)))
            else:
                ids, levels = listed(data, level)
                found.append(self._given(ids, levels, [int(self.group[number])] * len(levels)))
        children, of_levels = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
        return Listed(lists, [len(numbers) for numbers, _ in found[1:]], children, of_levels)

    def _piece(self, data: bytes) -> tuple[list[bytes], list[int], list[int]]:
        """Return the chunks listed in a piece, their levels, and their groups."""
        chunks, levels, groups = [], [], []
        for section in decode_piece(data):
            name = SectionName(section.name.kind, section.name.schema, section.name.name)
            group = self._groups.setdefault(name, len(self._groups) + 1)
            self._digest_groups.append(group)
            self._digests.append(int.from_bytes(section.any_digest[:8], "big"))
            for root in (*section.recipes, *section.side_streams):
                if root.chunk is not None:
                    chunks.append(root.chunk)
                    levels.append(root.level)
                    groups.append(group)
        return chunks, levels, groups

    def _given(
        self, chunks: list[bytes], levels: list[int], groups: list[int]
    ) -> tuple[Array, Array]:
        """Return a list's entries and their levels, and assign them to their tables."""
        import numpy as np

        numbers, of_levels, found = self.known(chunks, levels)
        of = np.array(groups, np.int32)[found]
        free = self.group[numbers] == NOBODY
        # Reversed, so that the first of several wins.
        self.group[numbers[free][::-1]] = of[free][::-1]
        return numbers, of_levels
