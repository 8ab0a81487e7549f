"""The dump as the psql of a restore gets it: without what is not wanted, rows in their order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from pgsnap.dump.definitions.entry_filter import LeftOut, leave_out
from pgsnap.model import Section, SectionKind, SectionName, Snapshot, SourceKind
from pgsnap.repository.chunks.stream import stream_of
from pgsnap.repository.repository import Repository
from pgsnap.sessions.base import Session
from pgsnap.targets.checks.requirements import source_major
from pgsnap.targets.checks.template_parts import lacks_plpgsql
from pgsnap.targets.dumptext import without_unknown_sets
from pgsnap.targets.load.event_triggers import quiet_event_triggers
from pgsnap.targets.load.hashed_rows import by_way_of_roots, chosen_anew
from pgsnap.targets.load.row_order import Table, empty_tables, keep_order, tables_to_keep
from pgsnap.workflows.restore.plan import RestorePlan
from pgsnap.workflows.restore.sections import planned_sections


@dataclass(frozen=True, slots=True)
class TablesMade:
    """The tables that psql has made: which may be emptied before their rows come, and whose rows
    go to the topmost of its tables."""

    empty: frozenset[Table]
    roots: Mapping[Table, Table]

    @classmethod
    def read(cls, session: Session) -> TablesMade:
        """Look into *session*'s database."""
        roots = chosen_anew(session)
        # Rows of others may be there already.
        return cls(empty_tables(session) - roots.keys(), roots)


def dump_for_psql(
    repo: Repository,
    snapshot: Snapshot,
    plan: RestorePlan,
    section_begins: Callable[[SectionName], None],
    tables_made: Callable[[], TablesMade],
) -> Iterator[bytes]:
    """Yield what psql is to run. *section_begins* is told each section before its first block;
    *tables_made* is called once at most, after all tables were made and before any rows.

    Raises CorruptionError.
    """
    # What is read, and what goes out: it is behind where something is held back.
    read: list[Section] = []
    sent: list[Section] = []

    def begins() -> None:
        sent[:] = read
        section_begins(sent[0].name)

    def reading(found: Section) -> None:
        read[:] = [found]
        if not snapshot.origin.is_pg_dump:
            begins()

    def name() -> SectionName | None:
        return read[0].name if read else None

    def section() -> Section | None:
        return sent[0] if sent else None

    planned = planned_sections(repo, snapshot, plan)
    # An older server has not the functions that take them; it makes statistics of its own.
    no_statistics = plan.server.major < (source_major(snapshot.origin) or 0)
    sections = (
        each for each in planned if not (no_statistics and each.name.kind is SectionKind.STATISTICS)
    )
    blocks = stream_of(repo, snapshot, sections, restrict_key=None, on_section=reading)
    blocks = without_unknown_sets(blocks, name, plan.server.major)
    if not snapshot.origin.is_pg_dump:
        return blocks
    encoding = snapshot.origin.client_encoding
    blocks = leave_out(blocks, name, _left_out(snapshot, plan), encoding, begins=begins)
    made = cache(tables_made)
    blocks = by_way_of_roots(blocks, section, lambda: made().roots, encoding)
    wanted = tables_to_keep(planned)
    blocks = keep_order(blocks, section, wanted, lambda: made().empty, encoding)
    # What makes them quiet is written in plpgsql.
    if plan.extensions.are_there and not lacks_plpgsql(snapshot.origin):
        return quiet_event_triggers(blocks, section)
    return blocks


def _left_out(snapshot: Snapshot, plan: RestorePlan) -> LeftOut:
    options, origin = plan.options, snapshot.origin
    return LeftOut(
        owners=options.no_owner,
        rights=options.no_acl,
        keys_between=frozenset(options.tables) if options.tables else None,
        # Of a file it is not known how it was dumped.
        public=bool(origin.only_schemas) or origin.kind is SourceKind.FILE,
        dead_rows=options.scratch,
        extensions=plan.extensions.left_out,
    )
