"""When every byte of a pack was last read and found sound, and which packs to read next.

It is kept in the index and lost with it: then everything counts as never read. The time of a read
that found damage is stored as a negative number: such a pack waits for its turn like the others
(otherwise every sample would be spent on it), but it does not count as read.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import datetime

from pgsnap.errors import UsageError
from pgsnap.format.times import from_micros, to_micros
from pgsnap.model import PackId
from pgsnap.repository import layout
from pgsnap.repository.index.index import Index
from pgsnap.stores.base import ObjectInfo
from pgsnap.values import dataclass


@dataclass(frozen=True, slots=True)
class SampleSize:
    """How much to read: a *share* of all bytes, above 0 and at most 1, or a number of bytes.

    Raises UsageError if that is nothing, or more than everything.
    """

    share: float | None = None
    byte_count: int = 0

    def __post_init__(self) -> None:
        if not (self.byte_count > 0 if self.share is None else 0 < self.share <= 1):
            raise UsageError(
                "a sample is more than nothing and at most everything",
                detail="A share lies above 0% and goes up to 100%.",
                hint="Write a share or a size, such as 10% or 1GB.",
            )

    def of(self, total_bytes: int) -> float:
        """Return how many of *total_bytes* to read."""
        return self.byte_count if self.share is None else self.share * total_bytes


@dataclass(frozen=True, slots=True)
class ReadState:
    """How far packs were read: those *never* read and found sound, their bytes, and the *oldest*
    time of the others, None if there are none."""

    never: int
    never_bytes: int
    oldest: datetime | None


class ReadHistory:
    """The table `pack_reads` of an index."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def remember(self, info: ObjectInfo, when: datetime, *, sound: bool) -> None:
        """Record that every byte of the pack *info* was read at *when*, and whether it was
        sound."""
        micros = to_micros(when) if sound else -to_micros(when)
        with self._index.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO pack_reads VALUES (?, ?)", (_key(info), micros)
            )

    def longest_ago_first(self, infos: Sequence[ObjectInfo]) -> list[ObjectInfo]:
        """Return the packs *infos* in the order in which to read them: never read first. Those that
        were never read come in random order: the next sample is another one even if the index was
        lost, and who writes to the store cannot know which is read."""
        reads = self._reads()
        return sorted(infos, key=lambda info: (abs(reads.get(_key(info), 0)), random.random()))

    def sample(self, infos: Sequence[ObjectInfo], size: SampleSize) -> list[ObjectInfo]:
        """Return the packs that were read longest ago, together of *size* or a little more: so ten
        samples of a tenth cover everything."""
        wanted = size.of(sum(info.object_bytes for info in infos))
        chosen = []
        for info in self.longest_ago_first(infos):
            if wanted <= 0:
                break
            chosen.append(info)
            wanted -= info.object_bytes
        return chosen

    def state(self, infos: Sequence[ObjectInfo]) -> ReadState:
        """Return the read state of the packs *infos*."""
        reads = self._reads()
        never = [info for info in infos if reads.get(_key(info), 0) <= 0]
        times = [time for info in infos if (time := reads.get(_key(info), 0)) > 0]
        oldest = from_micros(min(times), "the index") if times else None
        return ReadState(len(never), sum(info.object_bytes for info in never), oldest)

    def _reads(self) -> dict[PackId, int]:
        return dict(self._index.query("SELECT pack, time_us FROM pack_reads"))


def _key(info: ObjectInfo) -> bytes:
    """Return the pack id of a file, or its name if no pack belongs under that name."""
    pack = layout.hash_of(info.name)
    right = pack is not None and info.name == layout.pack_name(pack)
    return pack if pack is not None and right else info.name.encode()
