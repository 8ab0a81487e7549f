"""Loads what one query needs of a snapshot."""

from __future__ import annotations

from pgsnap.dump.definitions.table_parts import TableName
from pgsnap.model import SnapshotId
from pgsnap.progress import SILENT, Progress
from pgsnap.repository.repository import Repository
from pgsnap.sessions.server import Server
from pgsnap.workflows.contents.table_names import shown
from pgsnap.workflows.throw_away.load import Loaded, drop, load
from pgsnap.workflows.throw_away.needed import needed_tables, read_besides


def load_for_query(
    repo: Repository,
    snapshot_id: SnapshotId,
    server: Server,
    sql: str,
    tables: tuple[TableName, ...] = (),
    *,
    progress: Progress = SILENT,
) -> tuple[Loaded, str]:
    """Load the tables that *sql* needs, or those that are named; return it, and why all tables are
    loaded ("" if they are not). Raises as `load`."""
    if tables:
        return load(repo, snapshot_id, server, tables, progress=progress), ""
    with server.connect() as session:
        needed = needed_tables(repo, repo.snapshot(snapshot_id), session, sql)
    loaded = load(repo, snapshot_id, server, needed.tables, progress=progress)
    if not loaded.tables:
        return loaded, needed.why_all
    with server.without_event_triggers().connect(loaded.database) as session:
        missed = read_besides(session, sql, loaded.tables)
    if not missed:
        return loaded, ""
    drop(server, loaded.database)
    why = f"it reads {shown(missed[0])} too, which it does not name"
    return load(repo, snapshot_id, server, progress=progress), why
