"""The sides of a diff, and its result."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import fields

from pgsnap.model import Origin, Section, SectionKind, SectionName, Snapshot, SnapshotId
from pgsnap.values import dataclass

TableName = tuple[str, str]

# What may differ in every dump of an unchanged database, and is no part of its contents.
_NO_CONTENTS = frozenset(
    {SectionKind.PREAMBLE, SectionKind.TRAILER, SectionKind.GLOBALS, SectionKind.STATISTICS}
)


@dataclass(frozen=True, slots=True)
class Version:
    """One side of a diff: a snapshot, or (*snapshot* is None) what a source yielded just now.

    *read* returns the whole text of a section of definitions.
    """

    snapshot_id: SnapshotId | None
    snapshot: Snapshot | None
    origin: Origin
    sections: dict[SectionName, Section]
    read: Callable[[Section], bytes]

    @property
    def tables(self) -> dict[TableName, list[Section]]:
        """The sections of each table's rows; a table may have several."""
        return self.some_tables(None)

    def some_tables(self, wanted: Collection[TableName] | None) -> dict[TableName, list[Section]]:
        """Return `tables`, only those *wanted*; None means all."""
        found: dict[TableName, list[Section]] = {}
        for name, section in self.sections.items():
            table = name.schema, name.name
            if name.kind is SectionKind.DATA and (wanted is None or table in wanted):
                found.setdefault(table, []).append(section)
        return found

    def digest(self, kind: SectionKind) -> list[bytes]:
        """Return the digests of all sections of a kind; equal lists are equal contents. Not for
        rows: all other sections have the same sort of digest."""
        return [s.any_digest for name, s in self.sections.items() if name.kind is kind]

    def size(self, kind: SectionKind) -> int:
        return sum(s.plain_bytes for name, s in self.sections.items() if name.kind is kind)


@dataclass(frozen=True, slots=True)
class TableDiff:
    """How one table differs.

    *removed* rows are on the first side only, *added* on the second; *changed* rows have the same
    primary key (*key*, empty if it is not known on both sides) and different values. The counts are
    None if rows cannot be distinguished (INSERT statements of a foreign dump).
    """

    table: TableName
    in_before: bool
    in_after: bool
    bytes_before: int
    bytes_after: int
    rows_before: int | None
    rows_after: int | None
    removed: int | None
    added: int | None
    changed: int | None
    key: tuple[str, ...]
    schema_changed: bool

    @property
    def rows_differ(self) -> bool:
        if self.removed is None:
            return self.bytes_before != self.bytes_after
        return bool(self.removed or self.added or self.changed)

    @property
    def reordered(self) -> bool:
        """Whether both sides have the same rows in a different order, or as another version of
        PostgreSQL prints them."""
        return self.in_before and self.in_after and not (self.rows_differ or self.schema_changed)


@dataclass(frozen=True, slots=True)
class SequenceDiff:
    """A sequence's values, None on a side that lacks it."""

    name: str
    before: int | None
    after: int | None


@dataclass(frozen=True, slots=True)
class EntryDiff:
    """A definition that differs: its text on either side, None if missing. *key* is its type,
    schema and name."""

    title: str
    table: TableName | None
    before: str | None
    after: str | None
    key: tuple[str, str, str] = ("", "", "")


@dataclass(frozen=True, slots=True)
class DiffReport:
    """The differences between two versions of a database.

    *tables* are those with any difference; *other* names further sections that differ.
    *globals_changed* and *properties_changed* (names of attributes of the database itself, such as
    owner and settings) are not part of its contents.
    """

    before: Version
    after: Version
    tables: tuple[TableDiff, ...]
    unchanged_tables: int
    definitions: tuple[EntryDiff, ...]
    sequences: tuple[SequenceDiff, ...]
    large_objects_changed: bool
    other: tuple[str, ...]
    globals_changed: bool
    properties_changed: tuple[str, ...]
    read_bytes: int
    seconds: float

    @property
    def contents_differ(self) -> bool:
        """Whether the contents differ; the order of rows, roles and properties do not count."""
        return bool(
            any(not table.reordered for table in self.tables)
            or self.definitions
            or self.sequences
            or self.large_objects_changed
            or self.other
        )


def globals_changed(before: Version, after: Version) -> bool:
    """Return whether roles or tablespaces differ, if both sides know them."""
    a, b = before.digest(SectionKind.GLOBALS), after.digest(SectionKind.GLOBALS)
    return bool(a and b and a != b)


def properties_changed(before: Version, after: Version) -> tuple[str, ...]:
    """Return which properties of the database differ, if both sides know them."""
    a, b = before.origin.properties, after.origin.properties
    if a is None or b is None:
        return ()
    return tuple(
        field.name
        for field in fields(a)
        if field.name != "size_bytes" and getattr(a, field.name) != getattr(b, field.name)
    )


def other_sections(before: Version, after: Version) -> tuple[str, ...]:
    """Return the names of differing sections that have no part of their own in a report."""
    told = _NO_CONTENTS | {
        SectionKind.DATA,
        SectionKind.PRE_DATA,
        SectionKind.POST_DATA,
        SectionKind.SEQUENCES,
        SectionKind.EXTENSION_SEQUENCES,
        SectionKind.LARGE_OBJECTS,
    }
    return tuple(
        str(kind)
        for kind in SectionKind
        if kind not in told and before.digest(kind) != after.digest(kind)
    )
