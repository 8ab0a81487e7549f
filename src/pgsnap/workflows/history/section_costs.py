"""The space that a snapshot's sections take in the packs, and how much of it is new.

A section of a TB has two million chunks, which would take a GB as Python objects. They are kept in
a temporary SQLite database, which spills to disk beyond a little memory.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from typing import Self

from pgsnap.errors import StoreFull
from pgsnap.model import ChunkId, Digest, RecipeRoot, Section, SectionName, Snapshot
from pgsnap.repository.chunks.recipes import ChunkBatches
from pgsnap.repository.repository import Repository
from pgsnap.values import dataclass

_CHUNKS_AT_ONCE = 5_000
# Pages of SQLite's cache in KiB: about 400,000 chunks.
_CACHE_KIB = 32 * 1024

_TABLES = (
    "PRAGMA journal_mode = OFF",
    f"PRAGMA cache_size = -{_CACHE_KIB}",
    "CREATE TABLE chunks (id BLOB PRIMARY KEY, bytes INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE had (id BLOB PRIMARY KEY) WITHOUT ROWID",
    "BEGIN",
)
_STORED = "SELECT coalesce(sum(bytes), 0) FROM chunks"
_NEW = f"{_STORED} WHERE id NOT IN had"


@dataclass(frozen=True, slots=True)
class SectionCost:
    """A section (without its recipe), and what its chunks take in the packs.

    *stored_bytes* counts each of its chunks once, even if shared; *new_bytes* only those that the
    parent snapshot's same section does not have. A missing chunk counts as zero bytes.
    """

    name: SectionName
    plain_bytes: int
    rows: int | None
    lines: int
    digest: Digest
    stored_bytes: int
    new_bytes: int

    @classmethod
    def of(cls, section: Section, stored_bytes: int, new_bytes: int) -> Self:
        return cls(
            section.name,
            section.plain_bytes,
            section.rows,
            section.lines,
            section.any_digest,
            stored_bytes,
            new_bytes,
        )


def section_costs(repo: Repository, snapshot: Snapshot) -> Iterator[SectionCost]:
    """Yield what each section of *snapshot* takes. Raises CorruptionError, StoreFull."""
    own = set(_pieces(repo, snapshot))
    parents: dict[SectionName, Section] = {}
    # A piece of the list of sections that both share has nothing new.
    shared: set[ChunkId] = set()
    if snapshot.parent is not None and repo.has_snapshot(snapshot.parent):
        for piece, sections in repo.section_pieces(repo.snapshot(snapshot.parent)):
            if piece in own:
                shared.add(piece)
            else:
                parents.update((section.name, section) for section in sections)
    # No name: an anonymous file that is deleted when closed.
    with contextlib.closing(sqlite3.connect("", isolation_level=None)) as scratch:
        for statement in _TABLES:
            scratch.execute(statement)
        for piece, sections in repo.section_pieces(snapshot):
            for section in sections:
                before = section if piece in shared else parents.get(section.name)
                with _errors():
                    cost = _cost(repo, scratch, section, before)
                yield cost


def _pieces(repo: Repository, snapshot: Snapshot) -> Iterator[ChunkId]:
    return (piece for piece, _ in repo.section_pieces(snapshot))


def _cost(
    repo: Repository, scratch: sqlite3.Connection, section: Section, before: Section | None
) -> SectionCost:
    def take(batch: set[ChunkId]) -> None:
        sizes = repo.frame_sizes(list(batch))
        scratch.executemany(
            "INSERT OR IGNORE INTO chunks VALUES (?, ?)", ((c, sizes.get(c, 0)) for c in batch)
        )

    def take_had(batch: set[ChunkId]) -> None:
        scratch.executemany("INSERT OR IGNORE INTO had VALUES (?)", ((c,) for c in batch))

    scratch.execute("DELETE FROM chunks")
    _hand_on(repo, section, take)
    ((stored,),) = scratch.execute(_STORED)
    if before is None:
        return SectionCost.of(section, stored, stored)
    if _recipes(before) == _recipes(section):
        return SectionCost.of(section, stored, 0)
    scratch.execute("DELETE FROM had")
    _hand_on(repo, before, take_had)
    ((new,),) = scratch.execute(_NEW)
    return SectionCost.of(section, stored, new)


class _AllChunks(ChunkBatches):
    def wrong(self, why: str) -> None:
        """Impossible sizes are left for verify to report."""


def _hand_on(repo: Repository, section: Section, take: Callable[[set[ChunkId]], None]) -> None:
    chunks = _AllChunks(repo.chunks.read, take, _CHUNKS_AT_ONCE)
    chunks.of(_recipes(section))


def _recipes(section: Section) -> list[RecipeRoot]:
    return [*section.recipes, *section.side_streams]


@contextlib.contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise StoreFull(
            "no room for temporary data",
            detail=f"{error}.",
            hint="Name a folder with more room: export SQLITE_TMPDIR=/var/tmp",
        ) from error
