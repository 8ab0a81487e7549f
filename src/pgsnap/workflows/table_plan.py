"""What a restore of single tables would do, and all that forbids it, before anything is touched."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from pgsnap.dump.ddl import sequence_values
from pgsnap.dump.table_parts import (
    TableName,
    TableParts,
    parse_name,
    quoted,
    table_parts,
    tables_of,
)
from pgsnap.errors import UnknownRevision, UsageError
from pgsnap.model import Section, SectionKind, ServerInfo, Snapshot, SnapshotId, quote_ident
from pgsnap.repository.repository import Repository
from pgsnap.repository.stream import snapshot_stream
from pgsnap.runners.base import Tool
from pgsnap.sessions.base import Session, ident, literal
from pgsnap.sessions.server import Server
from pgsnap.sources.properties import read_server
from pgsnap.targets.preflight import Findings, Me, Problem, refuse, who_am_i
from pgsnap.targets.requirements import source_major
from pgsnap.targets.table_swap import (
    Dependents,
    LiveTable,
    beside_name,
    dependents_of,
    look_at_table,
    replaced_name,
)
from pgsnap.workflows.restore_plan import target_database

NO_DEPENDENTS = Dependents((), (), (), ())
SequenceValues: TypeAlias = "dict[str, tuple[int, bool]]"


@dataclass(frozen=True, slots=True)
class TableOptions:
    """What the user chose. *beside* is the word after ``__`` in the names of the new tables.

    *replace*: they take the live ones' places. *check_keys*: also where foreign keys of other
    tables refer to them, which are then checked again.
    """

    tables: tuple[TableName, ...]
    beside: str
    replace: bool = False
    check_keys: bool = False
    allow_newer_client: bool = False


@dataclass(frozen=True, slots=True)
class TablePlan:
    """One table: what it is made of, and what becomes of the one that is there.

    *target* is the name that the new one will have; *kept* the one of the table that it replaces,
    None where it replaces none. *sections* hold its rows.
    """

    parts: TableParts = field(repr=False)
    target: TableName
    live: LiveTable | None
    kept: TableName | None
    dependents: Dependents
    sections: tuple[Section, ...]

    @property
    def rows(self) -> int:
        return sum(section.rows or 0 for section in self.sections)

    @property
    def plain_bytes(self) -> int:
        return sum(section.plain_bytes for section in self.sections)


@dataclass(frozen=True, slots=True)
class TablesPlan:
    """What is going to happen, for a human to read and agree to. *database* is changed in place:
    in one transaction, of which nothing is seen until it is done."""

    snapshot_id: SnapshotId
    label: str
    host: str
    database: str
    server: ServerInfo
    options: TableOptions
    tables: tuple[TablePlan, ...]
    warnings: tuple[str, ...]
    refusals: tuple[Problem, ...]
    psql: Tool
    sequences: SequenceValues = field(repr=False)

    def check(self) -> None:
        """Raise TargetRefused with every reason that forbids this restore."""
        refuse(self.refusals, f"the restore of tables to {self.database}")

    @property
    def replaces(self) -> bool:
        return any(table.kept is not None for table in self.tables)


def parse_tables(names: list[str]) -> tuple[TableName, ...]:
    """Return the tables that ``--table`` names, each once. Raises UsageError."""
    found: dict[TableName, None] = {}
    for name in names:
        table = parse_name(name)
        if table is None:
            raise UsageError(
                f'"{name}" is no name of a table',
                detail='It is written as in SQL: public.orders, or shop."Order Items".',
            )
        found[table] = None
    return tuple(found)


def shown(table: TableName) -> str:
    """Return a table's name for people, with quotes where SQL needs them."""
    return ".".join(map(quote_ident, table))


def check_tables_known(
    repo: Repository, snapshot: Snapshot, snapshot_id: SnapshotId, wanted: tuple[TableName, ...]
) -> None:
    """Raise UnknownRevision for tables that the snapshot does not have."""
    encoding = snapshot.origin.client_encoding
    there = set(tables_of(_text(repo, snapshot, SectionKind.PRE_DATA), encoding))
    for table in wanted:
        if table not in there:
            raise _unknown_table(snapshot_id, table, there)


def plan_tables(
    repo: Repository,
    snapshot_id: SnapshotId,
    server: Server,
    options: TableOptions,
    now: datetime,
) -> TablesPlan:
    """Look at the snapshot and the server and tell what a restore of tables would do.

    Raises UsageError, UnknownRevision for a table that the snapshot does not have, ToolMissing,
    ToolVersion, ConnectionFailed. All else that forbids it is in the plan's refusals.
    """
    snapshot = repo.snapshot(snapshot_id)
    database = target_database(snapshot, server.endpoint, None)
    check_tables_known(repo, snapshot, snapshot_id, options.tables)
    pre = _text(repo, snapshot, SectionKind.PRE_DATA)
    post = _text(repo, snapshot, SectionKind.POST_DATA)
    encoding = snapshot.origin.client_encoding
    plans: list[TablePlan] = []
    with server.connect(database) as session:
        psql = server.tool("psql", allow_newer=options.allow_newer_client)
        me = who_am_i(session)
        findings = _check_snapshot(session, snapshot)
        for name in options.tables:
            parts = table_parts(pre, post, encoding, name)
            if parts is None:
                raise _unknown_table(snapshot_id, name, set())
            plan, told = _plan_one(session, me, repo, snapshot, parts, options, now)
            plans.append(plan)
            findings += told
        info = read_server(session)
    if not options.replace:
        keys = sum(len(plan.parts.foreign_keys) for plan in plans)
        if keys:
            findings += Findings(
                warnings=(
                    f"{keys} foreign keys are left out: a copy beside must not hold other"
                    " tables' rows",
                )
            )
    return TablesPlan(
        snapshot_id=snapshot_id,
        label=snapshot.database,
        host=server.endpoint.display(),
        database=database,
        server=info,
        options=options,
        tables=tuple(plans),
        warnings=findings.warnings,
        refusals=findings.problems,
        psql=psql,
        sequences=sequence_values(_text(repo, snapshot, SectionKind.SEQUENCES), encoding),
    )


def _text(repo: Repository, snapshot: Snapshot, kind: SectionKind) -> bytes:
    names = [s.name for s in repo.sections(snapshot) if s.name.kind is kind]
    return b"".join(snapshot_stream(repo, snapshot, restrict_key=None, sections=names))


def _unknown_table(
    snapshot_id: SnapshotId, table: TableName, there: set[TableName]
) -> UnknownRevision:
    near = sorted(name for name in there if name[1] == table[1])
    also = f" It has {', '.join(map(shown, near))}." if near else ""
    return UnknownRevision(
        f"the snapshot has no table {shown(table)}",
        detail=f"Names are as in SQL, without a schema they mean public.{also}",
        hint=f"See which it has: snap show {snapshot_id.hex()[:12]}",
    )


def _check_snapshot(session: Session, snapshot: Snapshot) -> Findings:
    problems = []
    if not snapshot.origin.is_pg_dump:
        problems.append(
            Problem(
                "pg_dump did not write this SQL, so no table's part can be told from the rest",
                hint="Restore all of it into a new database: --to NEW, without --table.",
            )
        )
    source, target = source_major(snapshot.origin), session.server_version_num // 10000
    if source is not None and source > target:
        problems.append(
            Problem(
                f"the snapshot comes from PostgreSQL {source}, the server is {target}",
                detail="An older server does not know all that a newer one writes.",
                hint=f"Restore to a server of version {source} or later.",
            )
        )
    if session.query("SELECT 1 WHERE pg_catalog.pg_is_in_recovery()"):
        problems.append(
            Problem(
                "the server is a standby, nothing can be written there",
                hint="Name its primary in the DSN.",
            )
        )
    return Findings(tuple(problems))


def _plan_one(
    session: Session,
    me: Me,
    repo: Repository,
    snapshot: Snapshot,
    parts: TableParts,
    options: TableOptions,
    now: datetime,
) -> tuple[TablePlan, Findings]:
    name = parts.table
    live = look_at_table(session, name) if options.replace else None
    target = name if options.replace else beside_name(name, options.beside)
    kept = replaced_name(name, now) if live is not None else None
    sections = tuple(
        section
        for section in repo.sections(snapshot)
        if section.name.kind is SectionKind.DATA
        and (section.name.schema, section.name.name) == name
    )
    dependents = dependents_of(session, live) if live is not None else NO_DEPENDENTS
    plan = TablePlan(parts, target, live, kept, dependents, sections)
    problems = [*_check_parts(plan), *_check_place(session, plan)]
    warnings: list[str] = []
    if live is not None:
        problems += _check_live(live, me)
        problems += _check_dependents(plan, options)
        warnings += [
            f"the publication {publication} will not publish {shown(name)} any more: afterwards"
            f" run ALTER PUBLICATION {ident(publication)} ADD TABLE {quoted(name)}"
            for publication in dependents.publications
        ]
    if not sections and snapshot.origin.excluded_table_data:
        warnings.append(f"the snapshot may have been made without the rows of {shown(name)}")
    return plan, Findings(tuple(problems), tuple(warnings))


def _check_parts(plan: TablePlan) -> list[Problem]:
    name = shown(plan.parts.table)
    problems = []
    if plan.parts.obstacle:
        problems.append(
            Problem(
                f"{name} cannot be restored alone: {plan.parts.obstacle}",
                hint="Restore it into a new database: --to NEW.",
            )
        )
    if any(section.rows is None for section in plan.sections):
        problems.append(
            Problem(
                f"the rows of {name} are not written as COPY, so they cannot be counted",
                hint="Restore it into a new database: --to NEW.",
            )
        )
    return problems


def _check_place(session: Session, plan: TablePlan) -> list[Problem]:
    schema = plan.target[0]
    if not session.query(
        f"SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = {literal(schema)}"
    ):
        return [
            Problem(
                f"there is no schema {quote_ident(schema)} any more",
                hint=f"Make it: CREATE SCHEMA {ident(schema)};",
            )
        ]
    problems = []
    for name in {plan.target, plan.kept or plan.target}:
        is_live = plan.live is not None and name == plan.live.name
        if not is_live and look_at_table(session, name) is not None:
            problems.append(
                Problem(
                    f"{shown(name)} exists already",
                    hint=f"Drop it if it is not needed: DROP TABLE {quoted(name)};",
                )
            )
    may = session.query(
        "SELECT 1 WHERE pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE')"
    )
    if not may:
        problems.append(
            Problem(
                "the role may not make schemas in this database",
                hint="As its owner: GRANT CREATE ON DATABASE ... TO ...;",
            )
        )
    return problems


def _check_live(live: LiveTable, me: Me) -> list[Problem]:
    if live.kind != "r":
        return [
            Problem(
                f"what is called {shown(live.name)} now is no ordinary table",
                hint="Restore beside it: leave out --replace.",
            )
        ]
    if not live.is_ours and not me.is_superuser:
        return [
            Problem(
                f"the table {shown(live.name)} belongs to {live.owner}, only its owner may"
                " rename it",
                hint=f"As a superuser: GRANT {ident(live.owner)} TO {ident(me.name)};",
            )
        ]
    return []


def _check_dependents(plan: TablePlan, options: TableOptions) -> list[Problem]:
    name = shown(plan.parts.table)
    found = plan.dependents
    problems = []
    if found.stuck:
        problems.append(
            Problem(
                f"what depends on {name} would go on using the replaced table:"
                f" {', '.join(found.stuck)}",
                hint="Restore beside it (leave out --replace) and copy the rows over.",
            )
        )
    if found.foreign_keys and not options.check_keys:
        problems.append(
            Problem(
                f"foreign keys refer to {name}: {', '.join(found.foreign_keys)}",
                detail="Rows that they refer to may not be in the snapshot.",
                hint="Let it make them again and check that they hold, else change nothing:"
                " --cascade-check.",
            )
        )
    return problems
