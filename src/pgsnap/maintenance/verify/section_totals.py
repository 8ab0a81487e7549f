"""Comparing the totals in a snapshot's manifest with its sections."""

from __future__ import annotations

from collections.abc import Iterable

from pgsnap.format.roots import Roots, hashed_parts
from pgsnap.format.section_names import encode_name
from pgsnap.model import OUTSIDE_ROOT, RecipeRoot, Section, SectionKind, Segment, Snapshot
from pgsnap.values import dataclass

SectionKey = tuple[str, tuple[Segment, ...] | tuple[RecipeRoot, ...], bytes]
"""Equal for two sections that are read in the same way, or for their side streams."""


@dataclass(slots=True)
class KnownSection:
    """A section, with what would otherwise be computed again for each snapshot that has it. *name*
    is its stored name, *hashed* what the root hashes cover of it, None if nothing; *is_whole*: it
    was found to be whole, *has_whole_sides*: its side streams were."""

    section: Section
    key: SectionKey
    name: bytes
    hashed: tuple[bytes | None, bytes | None] | None
    table: tuple[str, str] | None
    is_whole: bool = False
    has_whole_sides: bool = False

    @classmethod
    def of(cls, section: Section) -> KnownSection:
        name = section.name
        return cls(
            section,
            (str(name), section.segments, digests_of(section)),
            encode_name(name),
            None if name.kind in OUTSIDE_ROOT else hashed_parts(section),
            (name.schema, name.name) if name.kind is SectionKind.DATA else None,
        )


def digests_of(section: Section) -> bytes:
    """Return the digests of a section's bytes, joined."""
    return (section.digest or b"") + (section.leaf_digest or b"")


def wrong_totals(snapshot: Snapshot, known: Iterable[KnownSection]) -> str:
    """Return how a manifest disagrees with its sections, empty if it does not. Holds little of each
    section: a snapshot may have 200,000."""
    count = plain_bytes = rows = 0
    roots = Roots()
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
            roots.add_hashed(one.hashed)
        else:
            roots.add(section)
    pairs = (
        ("sections", snapshot.section_count, count),
        ("tables", snapshot.table_count, len(tables)),
        ("bytes", snapshot.plain_bytes, plain_bytes),
        ("rows", snapshot.rows, rows),
        ("root", snapshot.root, roots.root),
        ("leaf root", snapshot.leaf_root, roots.leaf_root),
        ("roles", snapshot.globals_root, roots.outside(SectionKind.GLOBALS)),
        (
            "sequences of extensions",
            snapshot.extension_sequences_root,
            roots.outside(SectionKind.EXTENSION_SEQUENCES),
        ),
        ("statistics", snapshot.statistics_root, roots.outside(SectionKind.STATISTICS)),
        ("names", len(sizes), count),
        ("volatile lines", True, _lines_fit(snapshot, sizes)),
    )
    wrong = [name for name, said, is_so in pairs if said != is_so]
    return f"Its manifest does not agree on: {', '.join(wrong)}." if wrong else ""


def _lines_fit(snapshot: Snapshot, sizes: dict[bytes, int]) -> bool:
    lines = snapshot.volatile
    return all(0 <= line.offset <= sizes.get(encode_name(line.section), -1) for line in lines)
