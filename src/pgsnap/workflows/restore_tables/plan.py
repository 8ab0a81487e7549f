"""Plans a restore of single tables: what it would do, and everything that forbids it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from pgsnap.dump.definitions.ddl import sequence_values
from pgsnap.dump.definitions.rights import Right
from pgsnap.dump.definitions.table_parts import (
    Definitions,
    TableName,
    TableParts,
    table_parts,
    tables_of,
)
from pgsnap.dump.definitions.table_tree import below_of, partitions_below, with_all_below
from pgsnap.model import Section, SectionKind, ServerInfo, SnapshotId
from pgsnap.repository.repository import Repository
from pgsnap.repository.snapshots.label_chains import Chains
from pgsnap.runners.base import Tool
from pgsnap.sessions.base import Session
from pgsnap.sessions.server import Server
from pgsnap.sources.properties import read_server
from pgsnap.targets.checks.connections import check_table_connections
from pgsnap.targets.checks.preflight import Findings, Me, Problem, refuse, who_am_i
from pgsnap.targets.naming import new_token
from pgsnap.targets.tables.live import LiveTable, live_partitions, look_at_table
from pgsnap.targets.tables.script import TableScript
from pgsnap.targets.tables.swap import beside_name, replaced_name
from pgsnap.targets.tables.ties import Dependents, dependents_of
from pgsnap.workflows.contents.strings import check_strings
from pgsnap.workflows.contents.table_names import check_known, read_definitions, section_text, shown
from pgsnap.workflows.contents.table_rows import copied_name, sections_of_rows
from pgsnap.workflows.contents.trust import snapshot_to_run
from pgsnap.workflows.restore.plan import own_label, target_database
from pgsnap.workflows.restore.server_checks import another_server, check_chain
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

SequenceValues: TypeAlias = "dict[str, tuple[int, bool]]"


@dataclass(frozen=True, slots=True)
class TableOptions:
    """The user's choices. *beside* is the word after ``__`` in the names of the new tables.

    *replace*: they replace the live ones, with *check_keys* even if other tables' foreign keys
    refer to them, which are then validated again. *from_server*: also from a snapshot of this other
    server (LABEL@ID), if the live database has snapshots of its own.
    """

    tables: tuple[TableName, ...]
    beside: str
    replace: bool = False
    check_keys: bool = False
    allow_newer_client: bool = False
    from_server: str | None = None


@dataclass(frozen=True, slots=True)
class TablePlan:
    """One table: what it is created from, and what happens to the live one.

    *target* is the name of the new table; *kept* the new name of the one that it replaces, None if
    it replaces none. *sections* hold its rows. *parent* is the table of this restore that it is a
    partition of.
    """

    parts: TableParts = field(repr=False)
    target: TableName
    live: LiveTable | None
    kept: TableName | None
    dependents: Dependents
    sections: tuple[Section, ...]
    parent: TableName | None = None

    @property
    def rows(self) -> int:
        return sum(section.rows or 0 for section in self.sections)

    @property
    def plain_bytes(self) -> int:
        return sum(section.plain_bytes for section in self.sections)


@dataclass(frozen=True, slots=True)
class SetAside:
    """A live partition that the snapshot lacks: it stays with its replaced table, named *kept*."""

    live: LiveTable
    kept: TableName
    dependents: Dependents


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
    repo: Repository,
    snapshot_id: SnapshotId,
    server: Server,
    options: TableOptions,
    now: datetime,
) -> TablesPlan:
    """Inspect the snapshot and the server, and return what a restore of tables would do. A
    partitioned table includes its partitions. Read-only.

    Raises UsageError, UnknownRevision for a table that the snapshot lacks, ToolMissing,
    ToolVersion, ConnectionFailed. Everything else that forbids it is in the plan's refusals.
    """
    snapshot = snapshot_to_run(repo, snapshot_id)
    renamed_to = Chains(repo).renamed_to(snapshot.database)
    database = target_database(snapshot, server.endpoint, None, renamed_to)
    definitions = read_definitions(repo, snapshot)
    sections = sections_of_rows(repo, snapshot, definitions)
    sequences = sequence_values(
        section_text(repo, snapshot, SectionKind.SEQUENCES), snapshot.origin.client_encoding
    )
    with server.connect(database) as session:
        psql = server.tool("psql", allow_newer=options.allow_newer_client)
        me = who_am_i(session)
        unknown = set(options.tables).difference(tables_of(definitions))
        check_members(session, snapshot, snapshot_id, unknown, sections.keys())
        check_known(definitions, snapshot_id, options.tables)
        live = _live_tables(session, options)
        tables = _tables(session, sections, definitions, options, live, now)
        aside = _left_behind(session, tables, live, now)
        made = [table.parts for table in tables]
        needs = read_needs(session, me, database, snapshot_id, made)
        info = read_server(session)
        findings = check_snapshot(session, snapshot) + needs.findings
        findings += check_strings(repo, snapshot, info.major)
        findings += Findings(tuple(check_rights(session, me, database)))
        findings += check_table_connections(session, me, database)
        for table in tables:
            found = check_parts(snapshot_id, table.parts, table.sections)
            findings += Findings(tuple(found))
        if not findings.problems:
            script = script_of(tables, needs.rights, sequences, new_token(), needs.makes_language)
            findings += rehearse(
                session,
                script,
                dump_settings(repo, snapshot, info.major),
                snapshot_id,
                makes_views=any(table.dependents.views for table in tables),
                tied=_tied(session, tables, aside, script, options),
            )
        for table in tables:
            once = published_by(definitions, table.parts.table) if options.replace else ()
            findings += _found(session, me, snapshot_id, table, options, once)
        for left in aside:
            found = check_live(me, left.live, is_whole=False)
            findings += Findings((*found, *check_set_aside(left.live, left.dependents)))
        findings += Findings(warnings=tuple(opened(session, made, needs.rights)))
        findings += another_server(snapshot, server.endpoint.display(), info)
        if any(table.live is not None for table in tables):
            findings += check_chain(
                repo,
                snapshot,
                database,
                info,
                from_server=options.from_server,
                is_empty=lambda: False,
            )
    return TablesPlan(
        snapshot_id=snapshot_id,
        label=own_label(snapshot, database, renamed_to),
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


def _live_tables(session: Session, options: TableOptions) -> dict[TableName, LiveTable]:
    """Return the live tables to be replaced, and their partitions."""
    found: dict[TableName, LiveTable] = {}
    for name in options.tables if options.replace else ():
        table = look_at_table(session, name)
        if table is not None:
            found |= {each.name: each for each in (table, *live_partitions(session, table))}
    return found


def _tables(
    session: Session,
    sections: Mapping[TableName, Sequence[Section]],
    definitions: Definitions,
    options: TableOptions,
    live: Mapping[TableName, LiveTable],
    now: datetime,
) -> tuple[TablePlan, ...]:
    """Return what is created from the snapshot: the named tables and their partitions."""
    replaced = [table.oid for table in live.values()]
    found: list[TablePlan] = []
    taken: set[TableName] = set()
    for name, parent in partitions_below(definitions, options.tables).items():
        parts = table_parts(definitions, name)
        assert parts is not None, "a dump makes a table before it makes it a partition"
        now_there = live.get(name)
        plan = TablePlan(
            parts=parts,
            target=name if options.replace else beside_name(name, options.beside, taken),
            live=now_there,
            kept=replaced_name(name, now, taken) if now_there is not None else None,
            dependents=dependents_of(session, now_there, replaced)
            if now_there is not None
            else Dependents(),
            sections=tuple(sections.get(name, ())),
            parent=parent,
        )
        taken |= {plan.target, plan.kept or plan.target}
        found.append(plan)
    return tuple(found)


def _left_behind(
    session: Session,
    tables: Iterable[TablePlan],
    live: Mapping[TableName, LiveTable],
    now: datetime,
) -> tuple[SetAside, ...]:
    """Return the live partitions that get no replacement."""
    replaced = [table.oid for table in live.values()]
    taken = {name for table in tables for name in (table.target, table.kept) if name is not None}
    made = {table.parts.table for table in tables}
    found = []
    for name, table in live.items():
        if name not in made:
            kept = replaced_name(name, now, taken)
            taken.add(kept)
            found.append(SetAside(table, kept, dependents_of(session, table, replaced)))
    return tuple(found)


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


def _found(
    session: Session,
    me: Me,
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
