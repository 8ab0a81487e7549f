"""Comparing the totals in a snapshot's manifest with its sections."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pgsnap.format.sections import encode_name, hashed_part, outside_roots, root_hasher
from pgsnap.model import OUTSIDE_ROOT, Section, SectionKind, Segment, Snapshot

SectionKey = tuple[str, tuple[Segment, ...], bytes]
"""Equal for two sections that are read in the same way."""


@dataclass(slots=True)
class KnownSection:
    """A section, with what would otherwise be computed again for each snapshot that has it. *name*
    is its stored name, *hashed* what the root hash covers of it, None if nothing; *is_whole*: it
    was found to be whole."""

    section: Section
    key: SectionKey
    name: bytes
    hashed: bytes | None
    table: tuple[str, str] | None
    is_whole: bool = False

    @classmethod
    def of(cls, section: Section) -> KnownSection:
        name = section.name
        return cls(
            section,
            (str(name), section.segments, section.digest),
            encode_name(name),
            None if name.kind in OUTSIDE_ROOT else hashed_part(section),
            (name.schema, name.name) if name.kind is SectionKind.DATA else None,
        )


def wrong_totals(snapshot: Snapshot, known: Iterable[KnownSection]) -> str:
    """Return how a manifest disagrees with its sections, empty if it does not. Holds little of each
    section: a snapshot may have 200,000."""
    count = plain_bytes = rows = 0
    hashed = root_hasher()
    outside: list[Section] = []
    tables: set[tuple[str, str]] = set()
    sizes: dict[bytes, int] = {}
    for one in known:
        section = one.section
        count += 1
        plain_bytes += section.plain_bytes
        rows += section.rows or 0
        sizes[one.name] = section.plain_bytes
        if one.table is not None:
            tables.add(one.table)
        if one.hashed is not None:
            hashed.update(one.hashed)
        else:
            outside.append(section)
    roots = outside_roots(outside) if outside else {}
    pairs = (
        ("sections", snapshot.section_count, count),
        ("tables", snapshot.table_count, len(tables)),
        ("bytes", snapshot.plain_bytes, plain_bytes),
        ("rows", snapshot.rows, rows),
        ("root", snapshot.root, hashed.digest()),
        ("roles", snapshot.globals_root, roots.get(SectionKind.GLOBALS)),
        (
            "sequences of extensions",
            snapshot.extension_sequences_root,
            roots.get(SectionKind.EXTENSION_SEQUENCES),
        ),
        ("statistics", snapshot.statistics_root, roots.get(SectionKind.STATISTICS)),
        ("names", len(sizes), count),
        ("volatile lines", True, _lines_fit(snapshot, sizes)),
    )
    wrong = [name for name, said, is_so in pairs if said != is_so]
    return f"Its manifest does not agree on: {', '.join(wrong)}." if wrong else ""


def _lines_fit(snapshot: Snapshot, sizes: dict[bytes, int]) -> bool:
    lines = snapshot.volatile
    return all(0 <= line.offset <= sizes.get(encode_name(line.section), -1) for line in lines)
