"""Plans a restore of single tables: what it would do, and everything that forbids it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import field
from datetime import datetime
from typing import TypeAlias

from pgsnap.dump.definitions.rights import Right
from pgsnap.dump.definitions.table_parts import (
    Definitions,
    TableName,
    tables_of,
)
from pgsnap.dump.definitions.table_tree import below_of, with_all_below
from pgsnap.model import Section, ServerInfo, SnapshotId
from pgsnap.repository.repository import Repository
from pgsnap.runners.base import Tool
from pgsnap.sessions.base import Session
from pgsnap.sessions.server import Server
from pgsnap.sources.properties import read_server
from pgsnap.targets.checks.connections import check_table_connections
from pgsnap.targets.checks.preflight import ConnectedRole, Findings, Problem, connected_role, refuse
from pgsnap.targets.naming import new_token
from pgsnap.targets.tables.script import TableScript
from pgsnap.values import dataclass
from pgsnap.workflows.contents.strings import check_strings
from pgsnap.workflows.contents.table_names import (
    check_known,
    read_definitions,
    sequences_in,
    shown,
)
from pgsnap.workflows.contents.table_rows import copied_name, sections_of_rows
from pgsnap.workflows.contents.trust import snapshot_to_run
from pgsnap.workflows.restore.server_checks import check_servers
from pgsnap.workflows.restore.target import database_and_label
from pgsnap.workflows.restore_tables.checks import (
    check_dependents,
    check_left_out,
    check_live,
    check_parts,
    check_place,
    check_rights,
    check_set_aside,
    check_snapshot,
    held_elsewhere,
    partition_alone,
)
from pgsnap.workflows.restore_tables.chosen import (
    SetAside,
    TableOptions,
    TablePlan,
    chosen_tables,
    left_behind,
    live_tables,
)
from pgsnap.workflows.restore_tables.members import check_members
from pgsnap.workflows.restore_tables.needs import read_needs
from pgsnap.workflows.restore_tables.opened import opened
from pgsnap.workflows.restore_tables.published import check_published, published_by
from pgsnap.workflows.restore_tables.rehearsal import (
    check_writing_triggers,
    dump_settings,
    rehearse,
)
from pgsnap.workflows.restore_tables.tie_trials import Trial, trials
from pgsnap.workflows.restore_tables.types import check_types

SequenceValues: TypeAlias = "dict[str, tuple[int, bool]]"


@dataclass(frozen=True, slots=True)
class TablesPlan:
    """What will be done, for the user to review and confirm. *database* is changed in place, in one
    transaction, so nothing is visible until it commits.

    In *tables*, a partitioned table precedes its partitions.
    """

    snapshot_id: SnapshotId
    label: str
    host: str
    database: str
    server: ServerInfo
    options: TableOptions
    tables: tuple[TablePlan, ...]
    aside: tuple[SetAside, ...]
    warnings: tuple[str, ...]
    refusals: tuple[Problem, ...]
    psql: Tool
    sequences: SequenceValues = field(repr=False)
    rights: tuple[Right, ...] = field(repr=False)
    makes_language: bool

    def check(self) -> None:
        """Raise TargetRefused with every reason that forbids this restore."""
        refuse(self.refusals, f"the restore of tables to {self.database}")

    @property
    def replaces(self) -> bool:
        return any(table.kept is not None for table in self.tables)

    def into(self, table: TablePlan, section: Section) -> TableName:
        """Return the table of this restore that takes *table*'s rows in *section*: the topmost one,
        which routes them, if the dump has it so or if the partition is chosen by hash."""
        parents = {t.parts.table: t.parent for t in self.tables}
        by_hash = {t.parts.table for t in self.tables if t.parts.is_partitioned_by_hash()}
        top = table.parts.table
        is_chosen = copied_name(section) != top
        while (parent := parents[top]) is not None:
            top = parent
            is_chosen = is_chosen or top in by_hash
        return top if is_chosen else table.parts.table

    def partitions(self, table: TablePlan) -> tuple[TablePlan, ...]:
        """Return the partitions of *table*, at all levels."""
        below = below_of({t.parts.table: t.parent for t in self.tables}, table.parts.table)
        return tuple(t for t in self.tables if t.parts.table in below)


def plan_tables(
    repo: Repository, snapshot_id: SnapshotId, server: Server, options: TableOptions, now: datetime
) -> TablesPlan:
    """Inspect the snapshot and the server, and return what a restore of tables would do. A
    partitioned table includes its partitions. Read-only.

    Raises UsageError, UnknownRevision for a table that the snapshot lacks, ToolMissing,
    ToolVersion, ConnectionFailed. Everything else that forbids it is in the plan's refusals.
    """
    snapshot = snapshot_to_run(repo, snapshot_id)
    database, label = database_and_label(repo, snapshot, server.endpoint, None)
    definitions = read_definitions(repo, snapshot)
    sections = sections_of_rows(repo, snapshot, definitions)
    sequences = sequences_in(repo, snapshot)
    with server.connect(database) as session:
        psql = server.tool("psql", allow_newer=options.allow_newer_client)
        me = connected_role(session)
        unknown = set(options.tables).difference(tables_of(definitions))
        check_members(session, snapshot, snapshot_id, unknown, sections.keys())
        check_known(definitions, snapshot_id, options.tables)
        live = live_tables(session, options)
        tables = chosen_tables(session, sections, definitions, options, live, now)
        aside = left_behind(session, tables, live, now)
        made = [table.parts for table in tables]
        needs = read_needs(session, me, database, snapshot_id, made)
        info = read_server(session)
        findings = check_snapshot(session, snapshot) + needs.findings
        findings += check_strings(repo, snapshot, info.major)
        findings += _on_rights_and_parts(session, me, database, snapshot_id, tables)
        if not findings.problems:
            script = script_of(tables, needs.rights, sequences, new_token(), needs.makes_language)
            settings = dump_settings(repo, snapshot, info.major)
            findings += check_types(session, snapshot_id, definitions, made)
            findings += _tried(session, settings, snapshot_id, script, tables, aside, options)
        findings += _on_live(session, me, snapshot_id, tables, aside, options, definitions)
        findings += Findings(warnings=tuple(opened(session, made, needs.rights)))
        replaces = any(table.live is not None for table in tables)
        findings += check_servers(
            repo, snapshot, server, database, info, options.from_server, replaces=replaces
        )
    return TablesPlan(
        snapshot_id=snapshot_id,
        label=label,
        host=server.endpoint.display(),
        database=database,
        server=info,
        options=options,
        tables=tables,
        aside=aside,
        warnings=findings.warnings + tuple(_told(definitions, tables, options)),
        refusals=findings.problems,
        psql=psql,
        sequences=sequences,
        rights=needs.rights,
        makes_language=needs.makes_language,
    )


def script_of(
    tables: Iterable[TablePlan],
    rights: Sequence[Right],
    sequences: SequenceValues,
    tag: str,
    makes_language: bool,
) -> TableScript:
    """Return the SQL that creates *tables*; *tag* is a word that nothing else uses."""
    planned = list(tables)
    return TableScript(
        parts=[table.parts for table in planned],
        partitions=[table.parts for table in planned if table.parent is not None],
        rights=rights,
        sequences=sequences,
        tag=tag,
        makes_language=makes_language,
    )


def _on_rights_and_parts(
    session: Session,
    me: ConnectedRole,
    database: str,
    snapshot_id: SnapshotId,
    tables: Iterable[TablePlan],
) -> Findings:
    findings = Findings(tuple(check_rights(session, me, database)))
    findings += check_table_connections(session, me, database)
    for table in tables:
        findings += Findings(tuple(check_parts(snapshot_id, table.parts, table.sections)))
    return findings


def _tried(
    session: Session,
    settings: str,
    snapshot_id: SnapshotId,
    script: TableScript,
    tables: Sequence[TablePlan],
    aside: Sequence[SetAside],
    options: TableOptions,
) -> Findings:
    """Return what the server says of *script*, which is run without rows and rolled back."""
    return rehearse(
        session,
        script,
        settings,
        snapshot_id,
        makes_views=any(table.dependents.views for table in tables),
        tied=_tied(session, tables, aside, script, options),
    )


def _tied(
    session: Session,
    tables: Sequence[TablePlan],
    aside: Sequence[SetAside],
    script: TableScript,
    options: TableOptions,
) -> tuple[Trial, ...]:
    """Return what the swap will recreate, to be tried; nothing if it is refused anyway."""
    both: list[TablePlan | SetAside] = [*tables, *aside]
    if not options.replace or any(each.dependents.stuck for each in both):
        return ()
    replaced = [each.live for each in both if each.live is not None]
    return tuple(trials(session, replaced, script, check_keys=options.check_keys))


def _on_live(
    session: Session,
    me: ConnectedRole,
    snapshot_id: SnapshotId,
    tables: Sequence[TablePlan],
    aside: Sequence[SetAside],
    options: TableOptions,
    definitions: Definitions,
) -> Findings:
    """Return what the live tables forbid, and warnings on them."""
    findings = Findings()
    for table in tables:
        once = published_by(definitions, table.parts.table) if options.replace else ()
        findings += _found(session, me, snapshot_id, table, options, once)
    for left in aside:
        found = check_live(me, left.live, is_whole=False)
        findings += Findings((*found, *check_set_aside(left.live, left.dependents)))
    return findings


def _found(
    session: Session,
    me: ConnectedRole,
    snapshot_id: SnapshotId,
    table: TablePlan,
    options: TableOptions,
    once_published: Iterable[str],
) -> Findings:
    """Return what forbids the restore of one table, and warnings on it."""
    parts = table.parts
    is_whole = table.parent is None
    problems = check_place(session, table.target, table.kept, table.live)
    is_alone = is_whole and bool(parts.attach)
    if options.replace and is_alone:
        problems.append(partition_alone(snapshot_id, parts.table))
    if options.replace:
        problems += check_left_out(parts, table.sections)
    told: tuple[str, ...] = ()
    if table.live is not None:
        problems += check_live(me, table.live, is_whole=is_whole and not is_alone)
        problems += check_dependents(parts.table, table.dependents, check_keys=options.check_keys)
        problems += check_writing_triggers(session, parts.table)
        told = held_elsewhere(parts.table, table.dependents)
    return Findings(tuple(problems), told) + check_published(
        session,
        snapshot_id,
        table.target,
        table.live,
        table.kept,
        once_published,
        is_whole=is_whole,
    )


def _told(
    definitions: Definitions,
    tables: Sequence[TablePlan],
    options: TableOptions,
) -> Iterator[str]:
    """Yield warnings on the rows and keys that come back, and on those that do not."""
    keys = sum(len(table.parts.foreign_keys) for table in tables)
    if keys and not options.replace:
        words = "1 foreign key is" if keys == 1 else f"{keys} foreign keys are"
        yield f"{words} left out: a copy beside must not hold other tables' rows"
    made = {table.parts.table for table in tables}
    for table in tables:
        name = shown(table.parts.table)
        if not options.replace and check_left_out(table.parts, table.sections):
            yield f"the snapshot was made without the rows of {name}: it is made empty"
        if table.parts.attach and table.parent is None:
            yield f"{name} is a partition: what is made of it is a table of its own"
    heirs = [name for name in with_all_below(definitions, made) if name not in made]
    if heirs:
        yield f"rows of the tables that inherit are no part of it: {', '.join(map(shown, heirs))}"
