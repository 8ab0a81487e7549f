"""The index's schema, as an ordered list of steps. database/index.sql shows the outcome."""

from __future__ import annotations

import contextlib
import sqlite3
import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pgsnap.errors import CorruptionError, FormatTooNew
from pgsnap.format.manifest import decode_manifest

if TYPE_CHECKING:
    from sqlite_utils import Database

SCHEMA_VERSION = 10
"""Kept as PRAGMA user_version, so that opening an index needs no migration machinery."""


COLUMNS = {
    "packs": "pack_no INTEGER, id BLOB, pack_bytes INTEGER, frames INTEGER,"
    " epoch INTEGER, salt BLOB",
    "chunks": "id BLOB, pack_no INTEGER, offset INTEGER, frame_bytes INTEGER, chunk_bytes INTEGER,"
    " kind INTEGER, codec INTEGER, cipher INTEGER, depth INTEGER, base BLOB",
    "snapshots": "id BLOB, database BLOB, time_us INTEGER, manifest BLOB, server TEXT, alias BLOB",
    "copied_ids": "old BLOB, role INTEGER, new BLOB, mark BLOB",
    "damaged": "pack BLOB, offset INTEGER, readable INTEGER",
    "lost_snapshots": "id BLOB, manifest BLOB",
    "identity": "repository_id TEXT",
    "forgotten": "snapshot BLOB, time_us INTEGER",
    "pack_reads": "pack BLOB, time_us INTEGER",
    "notes": "snapshot BLOB, id BLOB, kind TEXT, time_us INTEGER",
    "listed": "name TEXT, is_logged INTEGER, data BLOB",
    "publications": "number INTEGER, id BLOB, data BLOB",
    "last_listing": "time_us INTEGER, number INTEGER, id BLOB",
    "folder_states": "states TEXT",
    "kept_notes": "id BLOB, data BLOB",
}
"""The tables that the last step leaves, with their columns in order."""


def m001_packs_chunks_snapshots(db: Database) -> None:
    db.table("packs").create(
        {"pack_no": int, "id": bytes, "pack_bytes": int, "frames": int},
        pk="pack_no",
        not_null={"id", "pack_bytes", "frames"},
    )
    db.table("packs").create_index(["id"], unique=True)
    # WITHOUT ROWID halves the table and makes look-ups half as fast again; sqlite_utils does not
    # support it. A chunk may have several frames.
    db.execute(
        """
        CREATE TABLE chunks (
            id BLOB NOT NULL,
            pack_no INTEGER NOT NULL,
            "offset" INTEGER NOT NULL,
            frame_bytes INTEGER NOT NULL,
            chunk_bytes INTEGER NOT NULL,
            kind INTEGER NOT NULL,
            codec INTEGER NOT NULL,
            cipher INTEGER NOT NULL,
            depth INTEGER NOT NULL,
            base BLOB,
            PRIMARY KEY (id, pack_no, "offset")
        ) WITHOUT ROWID
        """
    )
    db.table("snapshots").create(
        {"id": bytes, "database": bytes, "time_us": int, "manifest": bytes},
        pk="id",
        not_null={"database", "time_us", "manifest"},
    )
    db.table("snapshots").create_index(["database", "time_us"])


def m002_damage_losses_identity(db: Database) -> None:
    # Frames that new commits must not rely on; *readable*: they can still be read.
    db.table("damaged").create(
        {"pack": bytes, "offset": int, "readable": int},
        pk=("pack", "offset"),
        not_null={"readable"},
    )
    # Snapshots whose manifest vanished from the store, with the manifest that the index had.
    db.table("lost_snapshots").create(
        {"id": bytes, "manifest": bytes}, pk="id", not_null={"manifest"}
    )
    db.table("identity").create({"repository_id": str}, pk="repository_id")


def m003_forgotten_reads(db: Database) -> None:
    # Snapshots removed by `snap forget` or by retention that can still be brought back, according
    # to the notes.
    db.table("forgotten").create(
        {"snapshot": bytes, "time_us": int}, pk="snapshot", not_null={"time_us"}
    )
    # When every byte of a pack was last read; negative where damage was found. Lost with the index.
    db.table("pack_reads").create({"pack": bytes, "time_us": int}, pk="pack", not_null={"time_us"})


def m004_notes(db: Database) -> None:
    # The notes that `forgotten` was derived from, so that none is read twice.
    db.table("notes").create(
        {"snapshot": bytes, "id": bytes, "kind": str, "time_us": int},
        pk=("snapshot", "id"),
        not_null={"kind", "time_us"},
    )


def m005_servers(db: Database) -> None:
    # The system identifier of the server that a snapshot was taken from; empty if unknown. With the
    # label it determines which chain the snapshot belongs to.
    db.table("snapshots").add_column("server", str, not_null_default="")
    db.conn.create_function("server_of", 1, _server_of)
    db.execute("UPDATE snapshots SET server = server_of(manifest)")
    # All columns by which a chain is looked up, so that no manifest is read.
    db.table("snapshots").create_index(["database", "server", "time_us", "id"])


def m006_seals(db: Database) -> None:
    # What the keys of sealed packs are derived from; NULL for a pack that is not sealed.
    db.table("packs").add_column("epoch", int)
    db.table("packs").add_column("salt", bytes)


def m007_copies(db: Database) -> None:
    # Of a copy from a repository with other keys, the id of the original.
    db.table("snapshots").add_column("alias", bytes)
    db.execute('CREATE INDEX "idx_snapshots_alias" ON snapshots (alias) WHERE alias IS NOT NULL')
    # What has which id here that had another one there. It can be found out again, by reading all
    # that is copied.
    db.execute(
        """
        CREATE TABLE copied_ids (
            old BLOB NOT NULL,
            role INTEGER NOT NULL,
            new BLOB NOT NULL,
            mark BLOB NOT NULL,
            PRIMARY KEY (old, role)
        ) WITHOUT ROWID
        """
    )


def m008_publications(db: Database) -> None:
    # The names of a remote store's snapshots, notes that forget, and tags, the last with their
    # contents; whether the store's log has them.
    db.execute(
        "CREATE TABLE listed (name TEXT PRIMARY KEY, is_logged INTEGER NOT NULL, data BLOB)"
        " WITHOUT ROWID"
    )
    # The entries of the log that were read.
    db.table("publications").create(
        {"number": int, "id": bytes, "data": bytes}, pk="number", not_null={"id", "data"}
    )
    # When the store was last listed, and the newest entry that is taken into account.
    db.table("last_listing").create(
        {"time_us": int, "number": int, "id": bytes}, not_null={"time_us", "number", "id"}
    )


def m009_folder_states(db: Database) -> None:
    # The states of a local repository's folders of snapshots and notes when the index was last
    # compared with them and had all that is in them.
    db.table("folder_states").create({"states": str}, not_null={"states"})


def m010_kept_notes(db: Database) -> None:
    # Notes as they are stored, of kinds of which there may be very many.
    db.table("kept_notes").create({"id": bytes, "data": bytes}, pk="id", not_null={"data"})


STEPS = (
    m001_packs_chunks_snapshots,
    m002_damage_losses_identity,
    m003_forgotten_reads,
    m004_notes,
    m005_servers,
    m006_seals,
    m007_copies,
    m008_publications,
    m009_folder_states,
    m010_kept_notes,
)


def migrate(connection: sqlite3.Connection) -> None:
    """Migrate the index to SCHEMA_VERSION. Each step is one transaction with its record."""
    # sqlite_utils takes 0.3 s to import, which is too long for `snap log`.
    # It imports these where they are there, for types of values that no index has.
    with _left_out("numpy", "pandas"):
        from sqlite_utils import Database, Migrations

    migrations = Migrations("pgsnap.index")

    for step in STEPS:
        migrations()(step)
    migrations.apply(Database(connection))
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    connection.commit()


@contextlib.contextmanager
def _left_out(*names: str) -> Iterator[None]:
    """Let an import not find these packages. Another thread may be about to import one of them:
    then they are found."""
    hidden = [name for name in names if name not in sys.modules]
    if threading.active_count() > 1:
        hidden = []
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


def _server_of(manifest: bytes) -> str:
    """Return the server of a manifest; "" if it is damaged, which is detected elsewhere."""
    with contextlib.suppress(CorruptionError, FormatTooNew):
        return decode_manifest(manifest).origin.system_identifier
    return ""
