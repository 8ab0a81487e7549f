"""Loads a snapshot, or tables of it, into a throw-away server, to be looked into."""

from __future__ import annotations

from contextlib import suppress

from pgsnap.dump.definitions.table_parts import TableName
from pgsnap.errors import SnapError
from pgsnap.model import Snapshot, SnapshotId
from pgsnap.progress import SILENT, Progress
from pgsnap.repository.repository import Repository
from pgsnap.sessions.base import ident
from pgsnap.sessions.server import Server
from pgsnap.targets.checks.subscriptions import drop_subscriptions
from pgsnap.targets.swap.dropping import drop_database
from pgsnap.values import dataclass
from pgsnap.workflows.contents.table_names import check_tables_known
from pgsnap.workflows.restore.plan import RestoreOptions, plan_restore
from pgsnap.workflows.restore.restore import restore

# Databases that every server has.
_TAKEN = frozenset({"postgres", "template0", "template1"})


@dataclass(frozen=True, slots=True)
class Loaded:
    """A snapshot in a database of a throw-away server. *tables* are those that have their rows; if
    it is empty, all have. *has_foreign_servers*: its foreign tables lead to other servers."""

    snapshot_id: SnapshotId
    database: str
    tables: tuple[TableName, ...]
    rows: int
    plain_bytes: int
    seconds: float
    warnings: tuple[str, ...]
    has_foreign_servers: bool


def load(
    repo: Repository,
    snapshot_id: SnapshotId,
    server: Server,
    tables: tuple[TableName, ...] = (),
    *,
    progress: Progress = SILENT,
) -> Loaded:
    """Restore a snapshot into a new database of *server*, which is a throw-away one: roles are made
    there too. Of *tables*, if any are named, the rows; of everything else the definitions.

    Raises TargetRefused, before anything is loaded, for what the server lacks (an extension, a
    locale); UnknownRevision for a table that the snapshot does not have; RestoreFailed,
    CorruptionError.
    """
    snapshot = repo.snapshot(snapshot_id)
    check_tables_known(repo, snapshot, snapshot_id, tables)
    options = RestoreOptions(
        to=database_name(snapshot),
        create_roles=True,
        # Nobody minds here what is left for later, such as settings of autovacuum.
        scratch=True,
        tables=tables,
    )
    plan = plan_restore(repo, snapshot_id, server, options)
    plan.check()
    report = restore(repo, plan, server, progress=progress)
    spent = report.seconds
    return Loaded(
        snapshot_id=snapshot_id,
        database=report.database,
        tables=plan.options.tables,
        rows=report.rows,
        plain_bytes=report.plain_bytes,
        seconds=spent.create + spent.load + spent.analyze + spent.swap,
        warnings=tuple(dict.fromkeys((*plan.warnings, *report.warnings))),
        has_foreign_servers=_has_foreign_servers(server, report.database),
    )


def database_name(snapshot: Snapshot) -> str:
    """Return the name that a snapshot's database gets on a throw-away server: its own, where that
    is free there."""
    properties = snapshot.origin.properties
    name = properties.name if properties is not None else snapshot.database
    return f"{name}_snapshot" if name in _TAKEN else name


def make_read_only(server: Server, database: str) -> None:
    """Let new sessions in a database be read-only, as far as they do not say otherwise."""
    setting = "SET default_transaction_read_only = on"
    with server.connect(server.maintenance_database()) as session:
        ((me,),) = session.query("SELECT current_user")
        session.execute(
            f"ALTER DATABASE {ident(database)} {setting};"
            # The most specific setting there is: none from the snapshot overrides it.
            f" ALTER ROLE {ident(me or '')} IN DATABASE {ident(database)} {setting}"
        )


def drop(server: Server, database: str) -> None:
    """Drop what `load` made, whoever is connected to it."""
    maintenance = server.maintenance_database()
    with server.connect(maintenance) as session:
        with suppress(SnapError):
            drop_subscriptions(session, server.without_event_triggers().connect, database)
        drop_database(session, database, watch=lambda: server.connect(maintenance))


def _has_foreign_servers(server: Server, database: str) -> bool:
    with server.without_event_triggers().connect(database) as session:
        return bool(session.query("SELECT 1 FROM pg_catalog.pg_foreign_server LIMIT 1"))
