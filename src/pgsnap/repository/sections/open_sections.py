"""Sections while they are being received, and the batches of chunks that workers take of them."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import field
from itertools import chain, groupby
from typing import TYPE_CHECKING

from blake3 import blake3

from pgsnap.model import ChunkId, Section, SectionEnd, SectionName, SourceEvent
from pgsnap.repository.chunks.bases import SectionBases
from pgsnap.repository.chunks.recipes import RecipeBuilder
from pgsnap.values import dataclass

if TYPE_CHECKING:
    from pgsnap.chunking.rows import Chunk

_WORKER_NICENESS = 10
# A hasher takes 2 kB, so a section's is replaced by this one when it ends.
ENDED = blake3()


@dataclass(slots=True)
class OpenSection:
    """A section that is still being received."""

    name: SectionName
    recipe: RecipeBuilder
    bases: SectionBases | None = None
    lines: int = 0
    hasher: blake3 = field(default_factory=blake3)
    end: SectionEnd | None = None
    digest: bytes = b""
    leaf_digest: bytes = b""
    leaves: bytes = b""
    claim: Section | None = None


@dataclass(slots=True)
class Batch:
    """A worker's task: chunks, each with its section and the number of lines before it there; None
    marks a section's end, or one that is stored already."""

    items: list[tuple[OpenSection | Section, Chunk | None, int]] = field(default_factory=list)
    plain_bytes: int = 0


class Resumed:
    """Iterates events, and others in between."""

    def __init__(self, events: Iterable[SourceEvent]) -> None:
        self._events = iter(events)

    def __iter__(self) -> Iterator[SourceEvent]:
        return self

    def __next__(self) -> SourceEvent:
        return next(self._events)

    def resume_with(self, events: Iterable[SourceEvent]) -> None:
        """Let *events* come next."""
        self._events = chain(events, self._events)


def stand_back() -> None:
    """Lower this thread's priority below that of the server and pg_dump.

    A commit waits for those; compression uses what they leave. This saves a tenth of the wall time
    on two processors, and other users of the machine are less affected.
    """
    if sys.platform == "linux":
        # On Linux each thread has a priority of its own. Under `nice -n 19` it is low enough
        # already, and only root may raise it.
        thread = threading.get_native_id()
        if os.getpriority(os.PRIO_PROCESS, thread) < _WORKER_NICENESS:
            os.setpriority(os.PRIO_PROCESS, thread, _WORKER_NICENESS)


def find_bases(
    items: Sequence[tuple[OpenSection, Chunk, int]], names: Sequence[ChunkId]
) -> dict[ChunkId, ChunkId]:
    """Return a base for each of the chunks *names* that has one."""
    found: dict[ChunkId, ChunkId] = {}
    for _, group in groupby(zip(names, items, strict=True), key=lambda pair: id(pair[1][0])):
        chunks = list(group)
        bases = chunks[0][1][0].bases
        if bases is not None:
            found |= bases.find((name, chunk.sketch, lines) for name, (_, chunk, lines) in chunks)
    return found
