"""The dump as a restore sends it to psql: unwanted parts left out, row order preserved."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache

from pgsnap.dump.definitions.entry_filter import LeftOut, leave_out
from pgsnap.model import DumpEvent, Section, SectionKind, SectionName, Snapshot, SourceKind
from pgsnap.repository.chunks.stream import section_events
from pgsnap.repository.repository import Repository
from pgsnap.targets.checks.requirements import source_major
from pgsnap.targets.checks.template_parts import lacks_plpgsql
from pgsnap.targets.dumptext import without_unknown_sets
from pgsnap.targets.load.event_triggers import quiet_event_triggers
from pgsnap.targets.load.hashed_rows import by_way_of_roots
from pgsnap.targets.load.row_order import Table, keep_order, tables_to_keep
from pgsnap.targets.load.tables_made import TablesMade
from pgsnap.workflows.restore.aside import Aside
from pgsnap.workflows.restore.plan import RestorePlan
from pgsnap.workflows.restore.sections import planned_sections


def brings_statistics(snapshot: Snapshot, plan: RestorePlan) -> bool:
    """Return whether the planner's statistics are in *snapshot* and are restored. An older server
    lacks the functions that import them; it gathers its own. They hold values of columns, so with
    masks they are left out."""
    has_them = snapshot.statistics_root is not None and plan.masking is None
    return has_them and plan.server.major >= (source_major(snapshot.origin) or 0)


def dump_for_psql(
    repo: Repository,
    snapshot: Snapshot,
    plan: RestorePlan,
    settle: Callable[[], None],
    tables_made: Callable[[], TablesMade],
    aside: Aside,
) -> Iterator[DumpEvent]:
    """Yield what psql is to run, but for what *aside* has others load. *settle* returns once psql
    has run what it was sent. *tables_made* is called at most once, after all tables were created
    and before any rows.

    Raises CorruptionError, and what a load aside raises.
    """
    planned = planned_sections(repo, snapshot, plan)
    with_statistics = brings_statistics(snapshot, plan)
    sections = (
        each for each in planned if with_statistics or each.name.kind is not SectionKind.STATISTICS
    )

    @cache
    def made() -> TablesMade:
        settle()
        return tables_made()

    if aside.is_worth_it:
        events = aside.rest(sections, made)
    else:
        events = section_events(repo, snapshot, sections)
    if plan.masking is not None:
        events = plan.masking.passing(events)
    events = without_unknown_sets(events, plan.server.major)
    if not snapshot.origin.is_pg_dump:
        return events
    encoding = snapshot.origin.client_encoding
    events = leave_out(events, _left_out(snapshot, plan), encoding)
    if aside.is_worth_it:
        events = aside.definitions.passing(events, settle)
    events = by_way_of_roots(events, lambda: _through_roots(planned, made().roots), encoding)
    events = keep_order(events, tables_to_keep(planned), lambda: made().empty, encoding)
    # The statement that silences them is written in PL/pgSQL.
    if plan.extensions.are_there and not lacks_plpgsql(snapshot.origin):
        return quiet_event_triggers(events)
    return events


def _through_roots(
    sections: Iterable[Section], roots: Mapping[Table, Table]
) -> dict[SectionName, tuple[Table, int]]:
    """Return the sections whose rows go to a topmost table, each with that table and the number of
    bytes before its rows."""
    return {
        section.name: (roots[table], section.head_bytes)
        for section in sections
        if section.rows is not None and (table := (section.name.schema, section.name.name)) in roots
    }


def _left_out(snapshot: Snapshot, plan: RestorePlan) -> LeftOut:
    options, origin = plan.options, snapshot.origin
    return LeftOut(
        owners=options.no_owner,
        rights=options.no_acl,
        keys_between=frozenset(options.tables) if options.tables else None,
        # For a file it is unknown how it was dumped.
        public=bool(origin.only_schemas) or origin.kind is SourceKind.FILE,
        dead_rows=options.scratch,
        extensions=plan.extensions.left_out,
        types=plan.masking.types_left_out if plan.masking is not None else (),
    )
