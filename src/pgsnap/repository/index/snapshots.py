"""The snapshots in the index, with their labels, servers and times."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeAlias

from pgsnap.format.times import to_micros
from pgsnap.model import Snapshot, SnapshotId
from pgsnap.repository.index.connection import IndexConnection

_LOOKUP_BATCH = 500
_VISIBLE = "id NOT IN (SELECT snapshot FROM forgotten)"

SnapshotColumns: TypeAlias = "tuple[bytes, int, str, SnapshotId | None]"
"""The columns of a snapshot beside its manifest: label, time in µs, server, alias."""


def label_bytes(label: str) -> bytes:
    """Return a label as stored in the index."""
    return label.encode("utf-8", "surrogateescape")


def snapshot_columns(snapshot: Snapshot) -> SnapshotColumns:
    """Return the index's columns for *snapshot*."""
    server = snapshot.origin.system_identifier
    return label_bytes(snapshot.database), to_micros(snapshot.time), server, snapshot.alias


class SnapshotIndex(IndexConnection):
    """The index's tables of snapshots and of lost snapshots."""

    def snapshot_ids(self) -> set[SnapshotId]:
        return {row[0] for row in self.query("SELECT id FROM snapshots")}

    def is_as_kept(self, states: str) -> bool:
        """Return whether *states* is what `keep_states` was last called with, and as much is in the
        index as then."""
        return self.query("SELECT states FROM folder_states") == [(self._with_counts(states),)]

    def keep_states(self, states: str) -> None:
        """Keep the *states* of the folders that the index was compared with."""
        kept = self._with_counts(states)
        with self.transaction() as connection:
            connection.execute("DELETE FROM folder_states")
            connection.execute("INSERT INTO folder_states VALUES (?)", (kept,))

    def _with_counts(self, states: str) -> str:
        (counts,) = self.query(
            "SELECT (SELECT count(*) FROM snapshots), (SELECT count(*) FROM notes)"
        )
        return f"{states} {counts}"

    def kept_notes(self, ids: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
        """Yield those of the notes *ids* that `keep_notes` was called with, as they are stored."""
        wanted = list(ids)
        for start in range(0, len(wanted), _LOOKUP_BATCH):
            batch = wanted[start : start + _LOOKUP_BATCH]
            marks = ",".join("?" * len(batch))
            yield from self.query(f"SELECT id, data FROM kept_notes WHERE id IN ({marks})", batch)

    def keep_notes(self, notes: Iterable[tuple[bytes, bytes]]) -> None:
        """Keep *notes*: the id of each, and how it is stored."""
        with self.transaction() as connection:
            connection.executemany("INSERT OR IGNORE INTO kept_notes VALUES (?, ?)", notes)

    def add_snapshot(self, snapshot: SnapshotId, found: Snapshot, manifest: bytes) -> None:
        row = snapshot_columns(found)
        with self.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO snapshots (id, database, time_us, server, alias, manifest)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (snapshot, *row, manifest),
            )
            connection.execute("DELETE FROM lost_snapshots WHERE id = ?", (snapshot,))

    def snapshot_rows(self) -> Iterator[tuple[SnapshotId, SnapshotColumns, bytes]]:
        """Yield each snapshot in the index: its id, its columns, and its manifest."""
        last = b""
        select = "SELECT id, database, time_us, server, alias, manifest FROM snapshots WHERE id > ?"
        while rows := self.query(f"{select} ORDER BY id LIMIT {_LOOKUP_BATCH}", (last,)):
            yield from ((row[0], row[1:5], row[5]) for row in rows)
            last = rows[-1][0]

    def drop_snapshots(self, snapshots: Iterable[SnapshotId], *, lost: bool = False) -> None:
        """Remove snapshots from the index; if they were *lost*, keep their manifests for `snap
        repair`."""
        words = [(snapshot,) for snapshot in snapshots]
        with self.transaction() as connection:
            if lost:
                connection.executemany(
                    "INSERT OR REPLACE INTO lost_snapshots"
                    " SELECT id, manifest FROM snapshots WHERE id = ?",
                    words,
                )
            connection.executemany("DELETE FROM snapshots WHERE id = ?", words)

    def manifest(self, snapshot: SnapshotId) -> bytes | None:
        rows = list(self.query("SELECT manifest FROM snapshots WHERE id = ?", (snapshot,)))
        return rows[0][0] if rows else None

    def manifests(self, snapshots: Sequence[SnapshotId]) -> dict[SnapshotId, bytes]:
        """Return the manifests of those of *snapshots* that the index knows."""
        found: dict[SnapshotId, bytes] = {}
        for start in range(0, len(snapshots), _LOOKUP_BATCH):
            batch = snapshots[start : start + _LOOKUP_BATCH]
            marks = ",".join("?" * len(batch))
            words = f"SELECT id, manifest FROM snapshots WHERE id IN ({marks})"
            found.update(self.query(words, batch))
        return found

    def newest(
        self,
        database: str | None,
        limit: int | None = None,
        *,
        servers: Sequence[str] | None = None,
        also_forgotten: bool = False,
        until_us: int | None = None,
    ) -> list[SnapshotId]:
        """Return snapshots, newest first; of all databases if *database* is None, of all servers if
        *servers* is None. *until_us*: the latest time to include."""
        where, words = ["true" if also_forgotten else _VISIBLE], list[Any]()
        if database is not None:
            where.append("database = ?")
            words.append(label_bytes(database))
        if servers is not None:
            where.append(f"server IN ({','.join('?' * len(servers))})")
            words += servers
        if until_us is not None:
            where.append("time_us <= ?")
            words.append(until_us)
        rows = self.query(
            f"SELECT id FROM snapshots WHERE {' AND '.join(where)}"
            " ORDER BY time_us DESC, id LIMIT ?",
            (*words, -1 if limit is None else limit),
        )
        return [row[0] for row in rows]

    def servers(
        self, database: str, until_us: int, *, also_forgotten: bool = False
    ) -> list[tuple[str, int, bool]]:
        """Return the servers of a label's snapshots, the one with the newest first: each with the
        time of its newest snapshot and whether that is after *until_us*, which counts only if all
        of its snapshots are."""
        where = "true" if also_forgotten else _VISIBLE
        rows = self.query(
            "SELECT server, max(time_us), max(CASE WHEN time_us <= ? THEN time_us END)"
            f" FROM snapshots WHERE database = ? AND {where} GROUP BY server",
            (until_us, label_bytes(database)),
        )
        found = [
            (server, newest if past is None else past, past is None)
            for server, newest, past in rows
        ]
        return sorted(found, key=lambda row: (not row[2], row[1]), reverse=True)

    def servers_of_some(self, snapshots: Sequence[SnapshotId]) -> dict[SnapshotId, str]:
        """Return the server of each of *snapshots* that the index knows."""
        if len(snapshots) > _LOOKUP_BATCH:
            every = dict(self.query("SELECT id, server FROM snapshots"))
            return {one: every[one] for one in snapshots if one in every}
        marks = ",".join("?" * len(snapshots))
        return dict(
            self.query(f"SELECT id, server FROM snapshots WHERE id IN ({marks})", snapshots)
        )

    def servers_of(self, database: str) -> list[tuple[SnapshotId, str]]:
        """Return the server of each of a label's snapshots."""
        return [
            (snapshot, server)
            for snapshot, server in self.query(
                "SELECT id, server FROM snapshots WHERE database = ?", (label_bytes(database),)
            )
        ]

    def by_prefix(self, prefix: str, limit: int, *, forgotten: bool = False) -> list[SnapshotId]:
        """Return up to *limit* snapshots whose id or alias in hex begins with *prefix*: those that
        are visible, or those that are *forgotten*. A whole id names nothing else, though another
        snapshot says that it is a copy of that one."""
        which = _VISIBLE.replace("NOT IN", "IN") if forgotten else _VISIBLE
        rows = self.query(
            "SELECT id FROM snapshots WHERE (lower(hex(id)) GLOB ? OR lower(hex(alias)) GLOB ?)"
            f" AND {which} AND (lower(hex(id)) = ? OR NOT EXISTS"
            " (SELECT 1 FROM snapshots whole WHERE lower(hex(whole.id)) = ?)) ORDER BY id LIMIT ?",
            (prefix + "*", prefix + "*", prefix, prefix, limit),
        )
        return [row[0] for row in rows]

    def named(self, name: SnapshotId) -> SnapshotId | None:
        """Return the snapshot whose id or alias is *name*, None if there is none."""
        rows = self.query(
            "SELECT id FROM snapshots WHERE id = ? UNION ALL"
            " SELECT id FROM snapshots WHERE alias = ? LIMIT 1",
            (name, name),
        )
        return rows[0][0] if rows else None

    def copies(self) -> dict[SnapshotId, SnapshotId]:
        """Return the snapshots that are copies, by their aliases."""
        return dict(self.query("SELECT alias, id FROM snapshots WHERE alias IS NOT NULL"))

    def alias(self, snapshot: SnapshotId) -> SnapshotId | None:
        """Return the id of what *snapshot* is a copy of, None if it is no copy."""
        rows = self.query("SELECT alias FROM snapshots WHERE id = ?", (snapshot,))
        return rows[0][0] if rows else None

    def databases(self) -> list[str]:
        rows = self.query(
            f"SELECT DISTINCT database FROM snapshots WHERE {_VISIBLE} ORDER BY database"
        )
        return [row[0].decode("utf-8", "surrogateescape") for row in rows]

    def lost_snapshots(self) -> dict[SnapshotId, bytes]:
        """Return the manifests of the snapshots that vanished from the store."""
        return dict(self.query("SELECT id, manifest FROM lost_snapshots"))

    def drop_lost(self, snapshots: Iterable[SnapshotId]) -> None:
        """Drop the record of lost snapshots: they are no longer wanted."""
        with self.transaction() as connection:
            words = [(snapshot,) for snapshot in snapshots]
            connection.executemany("DELETE FROM lost_snapshots WHERE id = ?", words)
