"""Plans a restore of what differs, in place. Nothing in the database is changed; its present state
is recorded, which is the first and larger part of the safety snapshot."""

from __future__ import annotations

from collections.abc import Callable

from pgsnap.dump.definitions.table_parts import TableName
from pgsnap.model import ServerInfo, Snapshot, SnapshotId
from pgsnap.repository.repository import Repository
from pgsnap.runners.base import Tool
from pgsnap.sessions.base import Session
from pgsnap.sessions.server import Server
from pgsnap.sources.properties import read_server
from pgsnap.targets.checks.connections import check_table_connections
from pgsnap.targets.checks.preflight import Findings, Problem, connected_role, refuse
from pgsnap.targets.tables.foreign_keys import read_foreign_keys
from pgsnap.targets.tables.put_back import (
    LiveFacts,
    event_triggers,
    may_turn_triggers_off,
    read_facts,
)
from pgsnap.values import dataclass
from pgsnap.words import some
from pgsnap.workflows.contents.table_names import shown
from pgsnap.workflows.contents.trust import snapshot_to_run
from pgsnap.workflows.restore.server_checks import check_servers
from pgsnap.workflows.restore.target import database_and_label
from pgsnap.workflows.restore_changed.differences import SWAP, Differences, Different, differences
from pgsnap.workflows.restore_changed.spliced_rows import SplicedRows
from pgsnap.workflows.restore_tables.checks import check_snapshot
from pgsnap.workflows.restore_tables.needs import check_read_only_default

# A slow disk with indexes; it is said as "about".
_LOAD_BYTES_PER_SECOND = 20_000_000


@dataclass(frozen=True, slots=True)
class ChangedOptions:
    """The user's choices."""

    allow_newer_client: bool = False
    from_server: str | None = None


@dataclass(frozen=True, slots=True)
class ChangedPlan:
    """What will be done, for the user to review and confirm. *first* is the snapshot of the present
    state; None if something forbade the restore before. *tables* and *sequences* differ as of it;
    *locked* tables cannot be written to for about *seconds*."""

    snapshot_id: SnapshotId
    label: str
    host: str
    database: str
    server: ServerInfo
    first: SnapshotId | None
    tables: tuple[Different, ...]
    sequences: int
    locked: int
    seconds: float
    swap_bytes: int
    warnings: tuple[str, ...]
    refusals: tuple[Problem, ...]
    psql: Tool
    rows: SplicedRows | None = None
    """What was seen of the rows that differ while the present state was recorded."""

    def check(self) -> None:
        """Raise TargetRefused with every reason that forbids this restore."""
        refuse(self.refusals, f"the restore of what differs in {self.database}")


def plan_changed(
    repo: Repository,
    snapshot_id: SnapshotId,
    server: Server,
    options: ChangedOptions,
    record: Callable[[str, str], SnapshotId],
    rows: SplicedRows | None = None,
) -> ChangedPlan:
    """Inspect the snapshot and the server, and return what a restore of what differs would do.
    *record* is called with the database and its label, and records it, watched by *rows*.

    Raises UsageError, ToolMissing, ToolVersion, ConnectionFailed, or what *record* raises.
    Everything else that forbids it is in the plan's refusals.
    """
    snapshot = snapshot_to_run(repo, snapshot_id)
    database, label = database_and_label(repo, snapshot, server.endpoint, None)
    psql = server.tool("psql", allow_newer=options.allow_newer_client)
    with server.connect(database) as session:
        info = read_server(session)
        me = connected_role(session)
        findings = check_snapshot(session, snapshot)
        findings += Findings(tuple(check_read_only_default(session, me, database)))
        findings += check_table_connections(session, me, database)
        findings += check_servers(repo, snapshot, server, database, info, options.from_server)
        findings += check_whole(snapshot)
    first, found = None, None
    if not findings.problems:
        first = record(database, label)
        found = differences(repo, snapshot, repo.snapshot(first))
        findings += Findings(found.problems)
        with server.connect(database) as session:
            findings += Findings(check_live(session, found)[1])
    tables = found.tables if found is not None else ()
    return ChangedPlan(
        snapshot_id=snapshot_id,
        label=label,
        host=server.endpoint.display(),
        database=database,
        server=info,
        first=first,
        tables=tables,
        sequences=len(found.sequences) if found is not None else 0,
        locked=len(found.all_tables) if found is not None else 0,
        seconds=_seconds(repo, first, tables),
        swap_bytes=snapshot.plain_bytes,
        warnings=findings.warnings,
        refusals=findings.problems,
        psql=psql,
        rows=rows,
    )


def check_whole(snapshot: Snapshot) -> Findings:
    """Return why a snapshot of a part of a database cannot be put back in place."""
    origin = snapshot.origin
    if not (origin.excluded_table_data or origin.only_schemas):
        return Findings()
    return Findings(
        (
            Problem(
                "the snapshot is of a part of the database only",
                detail="What it leaves out cannot be compared.",
                hint="Restore it into a new database: --to NEW",
            ),
        )
    )


def check_live(
    session: Session, found: Differences
) -> tuple[dict[TableName, LiveFacts], tuple[Problem, ...]]:
    """Return what the catalogs say about the tables that differ, and what of it forbids putting
    their rows back. Raises QueryFailed."""
    names = [each.table for each in found.tables]
    facts = read_facts(session, names)
    problems = []

    def refuse_for(tables: list[TableName], why: str, detail: str = "") -> None:
        if tables:
            which = some([shown(table) for table in tables])
            problems.append(Problem(f"{why}: {which}", detail=detail, hint=SWAP))

    refuse_for([name for name in names if name not in facts], "tables are not there any more")
    of_extension = [name for name, each in facts.items() if each.is_of_extension]
    refuse_for(of_extension, "rows that differ are in tables of extensions")
    refuse_for(
        [name for name, each in facts.items() if each.has_odd_triggers],
        "triggers of foreign keys always fire",
    )
    refuse_for(
        [name for name, each in facts.items() if each.has_rules and each.is_referenced],
        "rules rewrite statements, and foreign keys refer to the table",
        "So it cannot be truncated, and rows cannot be deleted from it as they are.",
    )
    keys = read_foreign_keys(session, names)
    if odd := [key.name for key in keys if key.has_period and key.is_valid]:
        problems.append(Problem(f"foreign keys over periods: {some(odd)}", hint=SWAP))
    events = event_triggers(session)
    if always := [name for name, mode in events.items() if mode != "O"]:
        problems.append(Problem(f"event triggers always fire: {some(always)}", hint=SWAP))
    needs_replica = any(each.fires and not each.by_name for each in facts.values())
    if (needs_replica or events) and not may_turn_triggers_off(session):
        problems.append(
            Problem(
                "triggers and foreign keys would act on the rows that are put back, and this role"
                " may not turn them off",
                detail="For that session_replication_role is set within the transaction.",
                hint="Connect as a superuser, or since PostgreSQL 15: GRANT SET ON PARAMETER"
                f" session_replication_role TO …; {SWAP}",
            )
        )
    return facts, tuple(problems)


def _seconds(repo: Repository, first: SnapshotId | None, tables: tuple[Different, ...]) -> float:
    if first is None:
        return 0.0
    load = sum(each.wanted.plain_bytes for each in tables) / _LOAD_BYTES_PER_SECOND
    return repo.snapshot(first).duration_ms / 1000 + load
