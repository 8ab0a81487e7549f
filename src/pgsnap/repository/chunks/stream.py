"""Reading a snapshot as the events that its dump was stored from, verified as they are read."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Iterator
from contextlib import closing
from io import BytesIO
from itertools import chain
from typing import NamedTuple, TypeAlias

from pgsnap.dump.events import text_of
from pgsnap.dump.volatile import put_back
from pgsnap.errors import CorruptionError
from pgsnap.limits import WHOLE_TEXT_BYTES_MAX
from pgsnap.model import (
    ChunkId,
    DumpEvent,
    RecipeEntry,
    Section,
    SectionEnd,
    SectionKind,
    SectionName,
    SectionStart,
    Snapshot,
)
from pgsnap.repository.chunks.chunks import ChunkReader
from pgsnap.repository.chunks.recipes import walk
from pgsnap.repository.repository import Repository
from pgsnap.repository.sections.text_check import LeafListCheck, TextCheck, quick_check

# What belongs to the cluster, to the database itself or to its extensions is sent only on request.
NOT_SENT = frozenset({SectionKind.DATABASE, SectionKind.GLOBALS, SectionKind.EXTENSION_SEQUENCES})

WITH_SEQUENCES = frozenset({SectionKind.EXTENSION_SEQUENCES})
"""A value for *also*: includes the values of extensions' sequences."""


def snapshot_stream(
    repo: Repository,
    snapshot: Snapshot,
    *,
    restrict_key: str | None,
    sections: Collection[SectionName] | None = None,
    also: Collection[SectionKind] = (),
) -> Iterator[bytes]:
    """Yield the text of *snapshot*'s dump: the sections of `sections_of`, by `section_events`. Only
    the end of iteration means that it is complete."""
    chosen = sections_of(repo, snapshot, sections, also)
    return text_of(section_events(repo, snapshot, chosen, restrict_key))


def sections_of(
    repo: Repository,
    snapshot: Snapshot,
    only: Collection[SectionName] | None = None,
    also: Collection[SectionKind] = (),
) -> Iterator[Section]:
    """Yield the sections of a dump in its order: *only* those with these names; None means all
    except the kinds in NOT_SENT that are not in *also*. Anything after the end mark of a dump would
    not be part of it, so sections stored after it come before it."""
    left_out = NOT_SENT.difference(also)
    last = []
    for section in repo.sections(snapshot):
        kind = section.name.kind
        if section.name not in only if only is not None else kind in left_out:
            continue
        if also and kind is SectionKind.TRAILER:
            last.append(section)
        else:
            yield section
    yield from last


def section_events(
    repo: Repository,
    snapshot: Snapshot,
    sections: Iterable[Section],
    restrict_key: str | None = None,
) -> Iterator[DumpEvent]:
    """Yield the events of these *sections* of *snapshot*, with their volatile lines put back. They
    are consumed one by one as needed: there may be hundreds of thousands.

    *restrict_key* is put into the ``\\restrict`` lines; None leaves these lines out. May raise
    CorruptionError in mid-stream, so what came before must not be taken for a complete dump: only
    the end of iteration means that.
    """
    return put_back(stored_events(repo, sections), snapshot.volatile, restrict_key)


def section_text(repo: Repository, snapshot: Snapshot, *sections: Section) -> Iterator[bytes]:
    """Yield the text of these *sections* of *snapshot*."""
    return text_of(section_events(repo, snapshot, sections))


def text_of_kinds(repo: Repository, snapshot: Snapshot, *kinds: SectionKind) -> Iterator[bytes]:
    """Yield the text of the sections of *kinds*, in the dump's order."""
    chosen = (section for section in repo.sections(snapshot) if section.name.kind in kinds)
    return text_of(section_events(repo, snapshot, chosen))


def whole_text(blocks: Iterable[bytes]) -> bytes:
    """Return *blocks* joined into one text: for definitions, not for rows. Raises CorruptionError
    for more than any dump contains."""
    # Grows in place, and gives its bytes away: of 200,000 tables they are not held twice.
    text = BytesIO()
    for block in blocks:
        text.write(block)
        if text.tell() > WHOLE_TEXT_BYTES_MAX:
            raise CorruptionError("the definitions of a snapshot are too large to be its own")
    return text.getvalue()


def chunks_of(reader: ChunkReader, section: Section | None) -> Iterator[RecipeEntry]:
    """Yield the data chunks of a section, in order."""
    for recipe in section.recipes if section is not None else ():
        yield from walk(recipe, reader.read)


def read_section(reader: ChunkReader, section: Section) -> bytes:
    """Return all bytes of a section: for definitions, not for rows."""
    entries = chunks_of(reader, section)
    return whole_text(reader.read(entry.chunk, entry.plain_bytes) for entry in entries)


def read_head(reader: ChunkReader, section: Section) -> bytes:
    """Return the bytes of a section before its rows."""
    head = b""
    for entry in chunks_of(reader, section):
        if len(head) >= section.head_bytes:
            break
        head += reader.read(entry.chunk, entry.plain_bytes)
    return head[: section.head_bytes]


def stored_events(repo: Repository, sections: Iterable[Section]) -> Iterator[DumpEvent]:
    """Yield the events of these *sections* as they are stored, without volatile lines."""
    # Closed explicitly, not on deletion: an interrupt would be swallowed there, and act late.
    with closing(_section_parts(repo, sections)) as parts:
        for part in parts:
            section = part[0].section
            yield SectionStart(section.name)
            check = quick_check(repo.chunks, section)
            yield from _one_section(section, check, chain((part,), parts))


class _Mark(NamedTuple):
    """Identifies a part of the stream: a chunk of *section*, or its end, which has no bytes."""

    section: Section
    is_end: bool


_Part: TypeAlias = "tuple[_Mark, bytes]"


def _section_parts(repo: Repository, sections: Iterable[Section]) -> Generator[_Part]:
    """Yield the chunks of all *sections*, read ahead across their ends, and each section's end."""

    def wanted() -> Iterator[tuple[_Mark, ChunkId | None, int]]:
        for section in sections:
            sizes = [recipe.plain_bytes for recipe in section.recipes]
            if sum(sizes) != section.plain_bytes:
                raise CorruptionError(
                    f"section {section.name} is damaged",
                    detail="The sizes of its segments do not add up.",
                )
            chunk = _Mark(section, is_end=False)
            for entry in chunks_of(repo.chunks, section):
                yield chunk, entry.chunk, entry.plain_bytes
            yield _Mark(section, is_end=True), None, 0

    return repo.chunks.read_ahead(wanted(), exact=True)


def _one_section(
    section: Section, check: TextCheck | LeafListCheck, parts: Iterable[_Part]
) -> Iterator[DumpEvent]:
    """Yield the chunks up to the end of *section*, *check* its digest there, and yield the end."""
    head, head_lines = section.head_bytes, 0
    for mark, data in parts:
        if mark.is_end:
            break
        check.update(data)
        if head:
            head_lines += data.count(b"\n", 0, head)
            head -= min(head, len(data))
        yield data
    if not check.is_right():
        raise CorruptionError(
            f"section {section.name} is damaged",
            detail="Its chunks are sound, but together they do not hash to its digest.",
        )
    if section.rows is None:
        yield SectionEnd()
    else:
        tail_lines = section.lines - section.rows - head_lines
        yield SectionEnd(True, section.head_bytes, head_lines, section.tail_bytes, tail_lines)
