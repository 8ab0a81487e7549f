"""A snapshot as the text of its dump, verified on the way out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterable, Iterator
from contextlib import closing
from itertools import chain
from typing import NamedTuple, TypeAlias

from blake3 import blake3

from pgsnap.dump.volatile import put_back
from pgsnap.errors import CorruptionError
from pgsnap.limits import WHOLE_TEXT_BYTES_MAX
from pgsnap.model import ChunkId, Section, SectionKind, SectionName, Snapshot, VolatileLine
from pgsnap.repository.chunks.recipes import walk
from pgsnap.repository.repository import Repository

# What belongs to the cluster, to the database itself or to its extensions is sent only when it is
# asked for.
NOT_SENT = frozenset({SectionKind.DATABASE, SectionKind.GLOBALS, SectionKind.EXTENSION_SEQUENCES})

WITH_SEQUENCES = frozenset({SectionKind.EXTENSION_SEQUENCES})
"""For *also*: the values of extensions' sequences too."""


def snapshot_stream(
    repo: Repository,
    snapshot: Snapshot,
    *,
    restrict_key: str | None,
    sections: Collection[SectionName] | None = None,
    also: Collection[SectionKind] = (),
    on_section: Callable[[Section], None] | None = None,
) -> Iterator[bytes]:
    """Yield the text of *snapshot*'s dump, in order, with its volatile lines put back.

    *sections* chooses by name; None means the whole dump, without the sections of NOT_SENT that are
    not in *also*. What follows the end mark of a dump would be no part of it: it goes before. The
    rest is as for `stream_of`.
    """
    left_out = NOT_SENT.difference(also)
    chosen = (
        section
        for section in repo.sections(snapshot)
        if (sections is None and section.name.kind not in left_out)
        or (sections is not None and section.name in sections)
    )
    return stream_of(
        repo,
        snapshot,
        _end_mark_last(chosen) if also else chosen,
        restrict_key=restrict_key,
        on_section=on_section,
    )


def stream_of(
    repo: Repository,
    snapshot: Snapshot,
    sections: Iterable[Section],
    *,
    restrict_key: str | None,
    on_section: Callable[[Section], None] | None = None,
) -> Iterator[bytes]:
    """Yield the text of these sections of *snapshot*, in their order, with their volatile lines put
    back. They are taken one by one, as they are needed: there may be hundreds of thousands.

    *restrict_key* stands in the ``\\restrict`` lines; None leaves these lines out. *on_section* is
    called with each section before its first byte is yielded. Raises CorruptionError in mid-stream,
    so what came before must not be taken for a whole dump: end of iteration alone means that.
    """
    volatile: dict[SectionName, list[VolatileLine]] = {}
    for line in snapshot.volatile:
        volatile.setdefault(line.section, []).append(line)
    # Closed here, not as it is deleted: an interrupt is swallowed there, and comes late.
    with closing(_section_parts(repo, sections)) as parts:
        for part in parts:
            section = part[0].section
            if on_section is not None:
                on_section(section)
            lines = volatile.get(section.name, [])
            blocks = _one_section(section, chain((part,), parts))
            yield from put_back(section.name, blocks, lines, restrict_key) if lines else blocks


def _end_mark_last(sections: Iterable[Section]) -> Iterator[Section]:
    last = []
    for section in sections:
        if section.name.kind is SectionKind.TRAILER:
            last.append(section)
        else:
            yield section
    yield from last


def whole_text(blocks: Iterable[bytes]) -> bytes:
    """Return what *blocks* give, as one text: for definitions, not for rows. Raises CorruptionError
    for more than any dump has of them."""
    parts, size = [], 0
    for block in blocks:
        size += len(block)
        if size > WHOLE_TEXT_BYTES_MAX:
            raise CorruptionError("the definitions of a snapshot are too large to be its own")
        parts.append(block)
    return b"".join(parts)


class _Mark(NamedTuple):
    """What a part of the stream is: a chunk of *section*, or its end, which has no bytes."""

    section: Section
    is_end: bool


_Part: TypeAlias = "tuple[_Mark, bytes]"


def _section_parts(repo: Repository, sections: Iterable[Section]) -> Generator[_Part]:
    """Yield the chunks of all *sections*, read ahead across their ends, and each section's end."""

    def wanted() -> Iterator[tuple[_Mark, ChunkId | None, int]]:
        for section in sections:
            sizes = [segment.recipe.plain_bytes for segment in section.segments]
            if sum(sizes) != section.plain_bytes:
                raise CorruptionError(
                    f"section {section.name} is damaged",
                    detail="The sizes of its segments do not add up.",
                )
            chunk = _Mark(section, is_end=False)
            for segment in section.segments:
                for entry in walk(segment.recipe, repo.chunks.read):
                    yield chunk, entry.chunk, entry.plain_bytes
            yield _Mark(section, is_end=True), None, 0

    return repo.chunks.read_ahead(wanted(), exact=True)


def _one_section(section: Section, parts: Iterable[_Part]) -> Iterator[bytes]:
    """Yield the chunks up to the next end, that of *section*, and compare its digest there."""
    hasher = blake3()
    for mark, data in parts:
        if mark.is_end:
            break
        hasher.update(data)
        yield data
    if hasher.digest() != section.digest:
        raise CorruptionError(
            f"section {section.name} is damaged",
            detail="Its chunks are sound, but together they do not hash to its digest.",
        )
