"""What an undo is about: the last of all restores and undos, whatever it replaced."""

from __future__ import annotations

from typing import TypeAlias

from pgsnap.dump.definitions.table_parts import TableName
from pgsnap.errors import (
    ConnectionFailed,
    CorruptionError,
    QueryFailed,
    StoreError,
    TargetRefused,
    UnknownRevision,
)
from pgsnap.model import SnapshotId
from pgsnap.repository.repository import Repository
from pgsnap.repository.snapshots.label_chains import Chains
from pgsnap.sessions.server import Server
from pgsnap.sources.properties import read_server
from pgsnap.targets.checks.preflight import find_database
from pgsnap.targets.swap.kept import KeptDatabase
from pgsnap.targets.tables.live import find_table
from pgsnap.values import dataclass
from pgsnap.words import plural
from pgsnap.workflows.contents.table_names import check_tables_known, copy_command, shown
from pgsnap.workflows.notes.changes_put_back import PutBack, last_put_back
from pgsnap.workflows.notes.tables_put_back import TablesPutBack, tables_put_back
from pgsnap.workflows.restore.target import names_database
from pgsnap.workflows.undo.undo import kept_databases

InDatabase: TypeAlias = PutBack | TablesPutBack
"""What was changed in the live database itself."""


@dataclass(frozen=True, slots=True)
class Last:
    """What was done last in the live database itself, since it replaced another; None if nothing.
    *kept* is what the last swap replaced, None if nothing is kept."""

    done: InDatabase | None
    kept: KeptDatabase | None


def last_done(repo: Repository, server: Server, label: str) -> Last:
    """Return what an undo would be about. Raises ConnectionFailed, QueryFailed, CorruptionError,
    StoreError."""
    kept = next(iter(kept_databases(repo, server, label)), None)
    name = server.endpoint.database if names_database(server.endpoint) else label
    found: list[InDatabase] = []
    with server.connect(server.maintenance_database()) as session:
        live = find_database(session, name)
        if live is None or live.is_half_dropped or not live.allows_connections:
            # Nothing can be put back in it.
            return Last(None, kept)
        identifier = read_server(session).system_identifier
        rows = last_put_back(repo, session, label, identifier, live.oid)
        found += [rows] if rows is not None else []
        for tables in tables_put_back(repo, session, label, identifier, live.oid):
            if tables.replaced or _are_there(server, name, tables.new):
                found.append(tables)
                break
    last = max(found, key=lambda each: (each.order, each.time), default=None)
    if last and kept and (kept.order, kept.since) > (last.order, last.time):
        last = None
    return Last(last, kept)


def check_undoable(repo: Repository, last: Last, label: str) -> SnapshotId:
    """Return the snapshot with what was there before. Raises TargetRefused if there is none."""
    done = last.done
    assert done is not None, "something was done"
    older = (
        " To go back beyond that, to the database that was replaced before: snap undo --whole"
        if last.kept is not None
        else ""
    )
    if isinstance(done, TablesPutBack) and not done.replaced:
        names = ", ".join(map(shown, done.new))
        raise TargetRefused(
            f"the last {done.action} replaced nothing: it made {names}",
            hint=f"To take that back: DROP TABLE {names};{older}",
        )
    kept = done.kept if isinstance(done, TablesPutBack) else ()
    names = ", ".join(map(shown, kept))
    by_hand = f"What was replaced is still there, unless it was dropped: {names}." if kept else ""
    if done.safety is None:
        assert isinstance(done, TablesPutBack), "what differs is always recorded first"
        raise TargetRefused(
            f"the last {done.action} cannot be undone: it made no safety snapshot",
            detail=" ".join(filter(None, (_done_words(done), by_hand))),
            hint=f"{_seen_before(repo, label, done)}{older}".strip(),
        )
    if not repo.has_snapshot(done.safety) or repo.forgotten_since(done.safety) is not None:
        raise TargetRefused(
            "the last restore cannot be undone: its safety snapshot,"
            f" {done.safety.hex()[:12]}, was dropped",
            detail=by_hand,
            hint=older.strip(),
        )
    return done.safety


def _done_words(done: TablesPutBack) -> str:
    names = ", ".join(map(shown, done.replaced))
    rows = f"{plural(len(done.keys), 'row')} of " if done.keys else ""
    return f"It replaced {rows}{names}, on {done.time:%Y-%m-%d at %H:%M:%S} UTC."


def _seen_before(repo: Repository, label: str, done: TablesPutBack) -> str:
    """Return how to see what the newest older snapshot has of it, "" if it has nothing."""
    for snapshot_id in Chains(repo).newest_until(label, done.time):
        try:
            check_tables_known(repo, repo.snapshot(snapshot_id), snapshot_id, done.replaced)
        except (UnknownRevision, CorruptionError, StoreError):
            break
        command = copy_command(snapshot_id, done.replaced[0])
        return f"The newest snapshot from before it, into a new database: {command}."
    return ""


def _are_there(server: Server, database: str, tables: tuple[TableName, ...]) -> bool:
    """Return whether one of *tables* is there; True if that cannot be asked."""
    try:
        with server.without_event_triggers().connect(database) as session:
            return any(find_table(session, table) is not None for table in tables)
    except (ConnectionFailed, QueryFailed):
        return True
