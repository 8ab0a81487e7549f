"""A snapshot as the text of its dump, verified on the way out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from contextlib import closing

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
    first: Collection[tuple[str, str]] = (),
    on_section: Callable[[Section], None] | None = None,
) -> Iterator[bytes]:
    """Yield the text of *snapshot*'s dump, in order, with its volatile lines put back.

    *sections* chooses by name; None means the whole dump, without the sections of NOT_SENT that are
    not in *also*. What follows the end mark of a dump would be no part of it: it goes before. Rows
    of the tables *first* go before those of others. *restrict_key* stands in the ``\\restrict``
    lines; None leaves these lines out. *on_section* is told each section before its first byte.
    Raises CorruptionError in mid-stream, so what came before must not be taken for a whole dump:
    end of iteration alone means that.
    """
    left_out = NOT_SENT.difference(also)
    chosen = [
        section
        for section in repo.sections(snapshot)
        if (sections is None and section.name.kind not in left_out)
        or (sections is not None and section.name in sections)
    ]
    if also:
        chosen.sort(key=lambda section: section.name.kind is SectionKind.TRAILER)
    chosen = with_rows_first(chosen, first)
    volatile: dict[SectionName, list[VolatileLine]] = {}
    for line in snapshot.volatile:
        volatile.setdefault(line.section, []).append(line)
    # Closed here, not as it is deleted: an interrupt is swallowed there, and comes late.
    with closing(_section_parts(repo, chosen)) as parts:
        for section in chosen:
            if on_section is not None:
                on_section(section)
            lines = volatile.get(section.name, [])
            blocks = _one_section(section, parts)
            yield from put_back(section.name, blocks, lines, restrict_key) if lines else blocks


def with_rows_first(
    sections: Sequence[Section], first: Collection[tuple[str, str]]
) -> list[Section]:
    """Return *sections* with the rows of the tables *first* before those of all others."""
    ahead = {
        section.name
        for section in sections
        if section.name.kind is SectionKind.DATA
        and (section.name.schema, section.name.name) in first
    }
    if not ahead:
        return list(sections)
    start = next(at for at, each in enumerate(sections) if each.name.kind is SectionKind.DATA)
    return [
        *sections[:start],
        *(section for section in sections[start:] if section.name in ahead),
        *(section for section in sections[start:] if section.name not in ahead),
    ]


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


def _section_parts(repo: Repository, chosen: list[Section]) -> Generator[tuple[bool, bytes]]:
    """Yield the chunks of all *chosen* sections, read ahead across their ends: (False, chunk),
    and (True, b"") at each section's end."""

    def wanted() -> Iterator[tuple[bool, ChunkId | None, int]]:
        for section in chosen:
            sizes = [segment.recipe.plain_bytes for segment in section.segments]
            if sum(sizes) != section.plain_bytes:
                raise CorruptionError(
                    f"section {section.name} is damaged",
                    detail="The sizes of its segments do not add up.",
                )
            for segment in section.segments:
                for entry in walk(segment.recipe, repo.chunks.read):
                    yield False, entry.chunk, entry.plain_bytes
            yield True, None, 0

    return repo.chunks.read_ahead(wanted(), exact=True)


def _one_section(section: Section, parts: Iterator[tuple[bool, bytes]]) -> Iterator[bytes]:
    """Yield the chunks of the next section, and compare its digest at the end."""
    hasher = blake3()
    for is_end, data in parts:
        if is_end:
            break
        hasher.update(data)
        yield data
    if hasher.digest() != section.digest:
        raise CorruptionError(
            f"section {section.name} is damaged",
            detail="Its chunks are sound, but together they do not hash to its digest.",
        )
