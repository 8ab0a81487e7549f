"""Comparing sections by their digests, of whichever sort both sides have (`model.equality`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from blake3 import blake3

from pgsnap.model import Digest, Section
from pgsnap.repository.chunks.chunks import ChunkReader
from pgsnap.repository.chunks.stream import chunks_of
from pgsnap.workflows.diff.report import Version


def make_comparable(reader: ChunkReader, before: Version, after: Version) -> None:
    """Compute the digest of stored sections where the sections of a table have no digest of one
    sort in common: only snapshots that are far apart have such tables. Raises CorruptionError."""
    if _common(before.sections.values(), after.sections.values()) is not None:
        return
    old, new = before.tables, after.tables
    for table in old.keys() & new.keys():
        if _common(old[table], new[table]) is None:
            for side in (before, after):
                for section in (old if side is before else new)[table]:
                    if section.digest is None:
                        digest = _digest_of(reader, section)
                        side.sections[section.name] = replace(section, digest=digest)


def same_texts(old: Sequence[Section], new: Sequence[Section]) -> bool:
    """Return whether a table's sections have the same texts on both sides, in any order. To be
    called after `make_comparable`."""
    if not old or not new:
        return not old and not new
    found = _common(old, new)
    assert found is not None
    return sorted(found[: len(old)]) == sorted(found[len(old) :])


def _common(*sides: Iterable[Section]) -> list[Digest] | None:
    """Return the digests of all sections, all of one sort; None if there is no such sort."""
    every = [section for side in sides for section in side]
    for digests in ([s.digest for s in every], [s.leaf_digest for s in every]):
        found = [digest for digest in digests if digest is not None]
        if len(found) == len(every):
            return found
    return None


def _digest_of(reader: ChunkReader, section: Section) -> Digest:
    hasher = blake3()
    for entry in chunks_of(reader, section):
        hasher.update(reader.read(entry.chunk, entry.plain_bytes))
    return hasher.digest()
