"""Plans a restore of only the rows of extensions' tables, and everything that forbids it.

Such a table is created by its extension, so no dump has its definition; a dump has its rows if the
extension marks it as configuration.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from pgsnap.dump.definitions.table_parts import TableName, quoted
from pgsnap.model import Section, ServerInfo, Snapshot, SnapshotId
from pgsnap.repository.repository import Repository
from pgsnap.runners.base import Tool
from pgsnap.sessions.base import Session, ident
from pgsnap.sessions.server import Server
from pgsnap.sources.properties import read_server
from pgsnap.targets.checks.connections import check_table_connections
from pgsnap.targets.checks.preflight import ConnectedRole, Findings, Problem, connected_role, refuse
from pgsnap.targets.tables.extension_tables import (
    configuration_of,
    count_rows,
    may_write,
    referrers_of,
    sequences_of,
)
from pgsnap.targets.tables.live import LiveTable, find_table
from pgsnap.values import dataclass
from pgsnap.workflows.contents.table_names import sequences_in, shown
from pgsnap.workflows.contents.table_rows import rows_by_table
from pgsnap.workflows.contents.trust import snapshot_to_run
from pgsnap.workflows.restore.server_checks import check_servers
from pgsnap.workflows.restore.target import database_and_label
from pgsnap.workflows.restore_tables.checks import check_snapshot
from pgsnap.workflows.restore_tables.needs import check_read_only_default


@dataclass(frozen=True, slots=True)
class RowsOptions:
    """The user's choices."""

    tables: tuple[TableName, ...]
    allow_newer_client: bool = False
    from_server: str | None = None


@dataclass(frozen=True, slots=True)
class RowsOfTable:
    """A table of *extension*: its rows that meet *condition* are replaced by those in *sections*.
    *sequences* are raised to the snapshot's values: name as SQL, value, and is_called."""

    table: TableName
    extension: str
    condition: str
    rows_before: int
    sections: tuple[Section, ...]
    sequences: tuple[tuple[str, int, bool], ...]

    @property
    def rows(self) -> int:
        return sum(section.rows or 0 for section in self.sections)

    @property
    def plain_bytes(self) -> int:
        return sum(section.plain_bytes for section in self.sections)


@dataclass(frozen=True, slots=True)
class RowsPlan:
    """What will be done, for the user to review and confirm. *tables* are in the dump's order:
    referenced tables first."""

    snapshot_id: SnapshotId
    label: str
    host: str
    database: str
    server: ServerInfo
    tables: tuple[RowsOfTable, ...]
    warnings: tuple[str, ...]
    refusals: tuple[Problem, ...]
    psql: Tool

    def check(self) -> None:
        """Raise TargetRefused with every reason that forbids this restore."""
        refuse(self.refusals, f"the restore of rows to {self.database}")


def plan_rows(
    repo: Repository, snapshot_id: SnapshotId, server: Server, options: RowsOptions
) -> RowsPlan:
    """Inspect the snapshot and the server, and return what a restore of rows would do. Read-only.

    Raises UsageError, ToolMissing, ToolVersion, ConnectionFailed. Everything else that forbids it
    is in the plan's refusals.
    """
    snapshot = snapshot_to_run(repo, snapshot_id)
    database, label = database_and_label(repo, snapshot, server.endpoint, None)
    sections = rows_by_table(repo, snapshot)
    values = sequences_in(repo, snapshot)
    with server.connect(database) as session:
        psql = server.tool("psql", allow_newer=options.allow_newer_client)
        me = connected_role(session)
        info = read_server(session)
        findings = check_snapshot(session, snapshot)
        findings += Findings(tuple(check_read_only_default(session, me, database)))
        findings += check_table_connections(session, me, database)
        live = {name: find_table(session, name) for name in options.tables}
        tables = []
        for name in (name for name in sections if name in live):
            tables += _rows(session, live[name], sections[name], values)
        findings += _forbidden(session, me, snapshot, live, sections)
        findings += check_servers(repo, snapshot, server, database, info, options.from_server)
    return RowsPlan(
        snapshot_id=snapshot_id,
        label=label,
        host=server.endpoint.display(),
        database=database,
        server=info,
        tables=tuple(tables),
        warnings=findings.warnings,
        refusals=findings.problems,
        psql=psql,
    )


def _rows(
    session: Session,
    live: LiveTable | None,
    sections: Sequence[Section],
    values: Mapping[str, tuple[int, bool]],
) -> list[RowsOfTable]:
    """Return what is done with one table; nothing if it is no extension's configuration."""
    condition = configuration_of(session, live) if live is not None and live.extension else None
    if live is None or condition is None:
        return []
    later = [
        (sequence.name, *values[sequence.name])
        for sequence in sequences_of(session, live)
        if sequence.name in values and sequence.last_value < values[sequence.name][0]
    ]
    return [
        RowsOfTable(
            table=live.name,
            extension=live.extension,
            condition=condition,
            rows_before=count_rows(session, live.name, condition),
            sections=tuple(sections),
            sequences=tuple(later),
        )
    ]


def _forbidden(
    session: Session,
    me: ConnectedRole,
    snapshot: Snapshot,
    live: Mapping[TableName, LiveTable | None],
    sections: Mapping[TableName, Sequence[Section]],
) -> Findings:
    oids = [table.oid for table in live.values() if table is not None]
    problems = []
    for name, table in live.items():
        if table is None:
            problems.append(_not_there(snapshot, name))
        elif not table.extension:
            problems.append(
                Problem(
                    f"{shown(name)} belongs to no extension, and --data-only is about those",
                    hint="Leave --data-only out: the table comes back with its definition.",
                )
            )
        elif (why := _without_rows(session, table, sections.get(name))) is not None:
            problems.append(why)
        else:
            problems += _tied(session, me, table, oids)
    return Findings(tuple(problems))


def _not_there(snapshot: Snapshot, name: TableName) -> Problem:
    properties = snapshot.origin.properties
    had = ", ".join(e.name for e in properties.extensions) if properties is not None else ""
    return Problem(
        f"the database has no table {shown(name)}",
        detail="Only an extension makes such a table."
        + (f" The snapshot has the extensions {had}." if had else ""),
        hint="Make its extension (CREATE EXTENSION), then restore the rows.",
    )


def _without_rows(
    session: Session, table: LiveTable, sections: Sequence[Section] | None
) -> Problem | None:
    name = shown(table.name)
    if configuration_of(session, table) is None:
        return Problem(
            f"the extension {table.extension} does not mark {name} as its configuration",
            detail="So its rows are in no dump.",
            hint="Nothing of it can be restored.",
        )
    if sections is None:
        return Problem(
            f"the snapshot has no rows of {name}",
            detail="Either it was made without them, or by a version of the extension that did not"
            " mark the table as its configuration.",
            hint="Look for one that has them: snap show REV",
        )
    if any(section.rows is None for section in sections):
        return Problem(
            f"the rows of {name} are not written as COPY, so they cannot be counted",
            hint="Take them from the dump by hand: snap cat REV",
        )
    return None


def _tied(
    session: Session, me: ConnectedRole, table: LiveTable, oids: Collection[int]
) -> list[Problem]:
    found = []
    if not may_write(session, table):
        found.append(
            Problem(
                f"the role {me.name} may not replace rows of {shown(table.name)}",
                hint=f"As its owner: GRANT DELETE, INSERT ON {quoted(table.name)} TO"
                f" {ident(me.name)};",
            )
        )
    if referrers := referrers_of(session, table, oids):
        found.append(
            Problem(
                f"foreign keys refer to {shown(table.name)}: from {', '.join(referrers)}",
                detail="Its rows are deleted before the others come: these keys would hold them, or"
                " delete rows with them.",
                hint="Name these tables too, with --table.",
            )
        )
    return found
