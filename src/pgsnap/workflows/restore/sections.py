"""Which sections of a snapshot psql gets, and in which order."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from pgsnap.model import Section, SectionKind, Snapshot
from pgsnap.repository.chunks.stream import NOT_SENT, with_rows_first
from pgsnap.repository.repository import Repository
from pgsnap.workflows.contents.table_rows import rows_by_table
from pgsnap.workflows.restore.extensions import ExtensionPlan

if TYPE_CHECKING:
    from pgsnap.workflows.restore.plan import RestorePlan


def sections_to_send(
    repo: Repository,
    snapshot: Snapshot,
    tables: Collection[tuple[str, str]],
    extensions: ExtensionPlan,
) -> list[Section]:
    """Return the sections that psql gets, in their order; where *tables* are named, rows of no
    others."""
    rows = rows_by_table(repo, snapshot) if tables else {}
    wanted = {section.name for table in tables for section in rows.get(table, ())}
    gone = extensions.tables_left_out
    sent = [
        section
        for section in repo.sections(snapshot)
        if section.name.kind not in NOT_SENT
        and not (
            section.name.kind is SectionKind.DATA
            and (section.name.schema, section.name.name) in gone
        )
        and not (tables and section.name.kind is SectionKind.LARGE_OBJECTS)
        and not (tables and section.name.kind is SectionKind.DATA and section.name not in wanted)
    ]
    return with_rows_first(sent, extensions.first)


def planned_sections(repo: Repository, snapshot: Snapshot, plan: RestorePlan) -> list[Section]:
    """Return the sections that psql gets by *plan*."""
    return sections_to_send(repo, snapshot, plan.options.tables, plan.extensions)
