"""Selects and orders the sections of a snapshot that psql gets."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from pgsnap.dump.definitions.table_parts import TableName
from pgsnap.model import Section, SectionKind, SectionName, Snapshot
from pgsnap.repository.chunks.stream import NOT_SENT
from pgsnap.repository.repository import Repository
from pgsnap.values import dataclass
from pgsnap.workflows.contents.table_rows import rows_by_table
from pgsnap.workflows.needs.extensions import ExtensionPlan

if TYPE_CHECKING:
    from pgsnap.masking.events import Masking
    from pgsnap.workflows.restore.plan import RestorePlan


@dataclass(frozen=True, slots=True)
class SectionsToSend:
    """The sections that psql gets, in order; if *tables* are named, only *rows* of the data
    sections; what *masking* does not send is left out.

    They are read again on each iteration: for 200,000 tables a list would take 200 MB.
    """

    repo: Repository
    snapshot: Snapshot
    extensions: ExtensionPlan
    tables: Collection[TableName] = ()
    rows: frozenset[SectionName] = frozenset()
    masking: Masking | None = None

    def __iter__(self) -> Iterator[Section]:
        first = self.extensions.first
        ahead = [each for each in self._in_order() if _table(each) in first] if first else []
        names = {section.name for section in ahead}
        is_data = False
        for section in self._in_order():
            if section.name.kind is SectionKind.DATA and not is_data:
                is_data = True
                yield from ahead
            if section.name not in names:
                yield section

    def totals(self) -> tuple[int, int]:
        """Return their total size in bytes and their total number of rows."""
        plain_bytes = rows = 0
        for section in self:
            plain_bytes += section.plain_bytes
            rows += section.rows or 0
        return plain_bytes, rows

    def _in_order(self) -> Iterator[Section]:
        gone = self.extensions.tables_left_out
        for section in self.repo.sections(self.snapshot):
            kind = section.name.kind
            if kind in NOT_SENT or _table(section) in gone:
                continue
            if self.masking is not None and not self.masking.sends(section.name):
                continue
            if self.tables and kind is SectionKind.LARGE_OBJECTS:
                continue
            if self.tables and kind is SectionKind.DATA and section.name not in self.rows:
                continue
            yield section


def sections_to_send(
    repo: Repository,
    snapshot: Snapshot,
    tables: Collection[TableName],
    extensions: ExtensionPlan,
    masking: Masking | None = None,
) -> SectionsToSend:
    """Return the sections that psql gets. Raises CorruptionError."""
    rows = rows_by_table(repo, snapshot) if tables else {}
    wanted = frozenset(section.name for table in tables for section in rows.get(table, ()))
    return SectionsToSend(repo, snapshot, extensions, tables, wanted, masking)


def planned_sections(repo: Repository, snapshot: Snapshot, plan: RestorePlan) -> SectionsToSend:
    """Return the sections that psql gets according to *plan*."""
    return sections_to_send(repo, snapshot, plan.options.tables, plan.extensions, plan.masking)


def _table(section: Section) -> TableName | None:
    """Return the table whose rows *section* holds, None for any other section."""
    name = section.name
    return (name.schema, name.name) if name.kind is SectionKind.DATA else None
