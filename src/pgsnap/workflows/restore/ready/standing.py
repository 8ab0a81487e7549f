"""The databases of a server in which the contents of a snapshot may stand already: warm copies,
replaced databases that are kept, templates. Whether they still do is proven when they are used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from typing import Final

from pgsnap.errors import SnapError
from pgsnap.format.baseline import decode_baseline
from pgsnap.model import Snapshot, SnapshotId, same_contents
from pgsnap.model.baseline import Baseline
from pgsnap.repository.repository import Repository
from pgsnap.repository.sections.side_streams import read_baseline
from pgsnap.sessions.base import Session, literal
from pgsnap.sessions.half_dropped import CONNECTION_LIMIT as HALF_DROPPED
from pgsnap.sessions.server import Server
from pgsnap.sources.parts import left_out
from pgsnap.sources.postgres import PostgresSource
from pgsnap.targets.swap.kept import find_kept
from pgsnap.targets.swap.warm import WarmCopy
from pgsnap.values import dataclass
from pgsnap.workflows.needs.extensions import ExtensionPlan
from pgsnap.workflows.notes.baselines import (
    RESTORED,
    Use,
    is_noted,
    newest_baseline,
    why_unprovable,
)
from pgsnap.workflows.notes.kept_databases import read_kept_notes
from pgsnap.workflows.notes.missed_changes import missed_changes
from pgsnap.workflows.restore.target import RestoreOptions


@dataclass(frozen=True, slots=True)
class Standing:
    """A kept or template database that was equal to the snapshot in the state *baseline*, which was
    taken by *time*, with *dump_key*."""

    name: str
    oid: int
    baseline: Baseline
    time: datetime
    dump_key: str


@dataclass(frozen=True, slots=True)
class Ready:
    """What a restore may use instead of loading, best first."""

    warm: tuple[WarmCopy, ...] = ()
    standing: tuple[Standing, ...] = ()


NOT_READY: Final = Ready()


@dataclass(frozen=True, slots=True)
class Search:
    """Looks on *session*'s server for the contents of a snapshot, which a restore with *options* is
    to put into *database*, recorded under *label*."""

    repo: Repository
    snapshot_id: SnapshotId
    snapshot: Snapshot
    server: Server
    session: Session
    system_identifier: str
    options: RestoreOptions
    database: str
    label: str

    def ready(self, copies: tuple[WarmCopy, ...], extensions: ExtensionPlan) -> Ready:
        """Return those of *copies* that were what the restore would make, by the notes, and the
        other databases. Raises StoreError, QueryFailed, ConnectionFailed."""
        may_be = self.options.allows_warm and self.snapshot.origin.is_pg_dump
        if not may_be or extensions.left_out or extensions.added:
            return NOT_READY
        return Ready(tuple(self._fitting(copies)), tuple(self._standing()))

    def _fitting(self, copies: tuple[WarmCopy, ...]) -> Iterator[WarmCopy]:
        source = self.snapshot.origin.properties
        is_new = source is not None and self.options.to is not None
        live = source.name if source is not None and is_new else self.database
        for copy in copies:
            if copy.live == live and not copy.is_busy and self._is_noted(copy):
                yield copy

    def _is_noted(self, copy: WarmCopy) -> bool:
        return is_noted(self.repo, self.label, self.system_identifier, copy.oid, self.snapshot_id)

    def _standing(self) -> Iterator[Standing]:
        repo, source = self.repo, self.snapshot.origin.properties
        # Of a part of a database there is no database.
        if source is None or left_out(self.snapshot.origin):
            return
        if missed_changes(repo, self.label, self.system_identifier) is not None:
            return
        found = self._databases(source.name)
        committed = self._committed() if found else None
        doubted = self._doubted({oid for _, oid in found})
        for name, oid in found:
            if oid in doubted:
                continue
            if committed is not None and committed.database_oid == oid:
                with suppress(SnapError):
                    key = self._dump_key(source.encoding)
                    yield Standing(name, oid, committed, self.snapshot.time, key)
                continue
            noted = newest_baseline(repo, self.label, Use.LIVE, self.system_identifier, oid)
            if noted is not None and noted.snapshot == self.snapshot_id:
                yield Standing(name, oid, noted.baseline, noted.time, RESTORED)

    def _dump_key(self, encoding: str) -> str:
        allow_newer = self.options.allow_newer_client
        return PostgresSource(self.server, allow_newer_client=allow_newer).dump_key(encoding)

    def _databases(self, source: str) -> list[tuple[str, int]]:
        """Return name and OID of the kept databases and templates, the last replaced first. None of
        them has a name that applications use."""
        kept = find_kept(self.session, read_kept_notes(self.repo).swapped, self.system_identifier)
        order = [each.oid for each in kept]
        oids = ", ".join(map(str, [0, *order]))
        names = ", ".join(map(literal, (source, self.database)))
        rows = self.session.query(
            "SELECT d.datname, d.oid FROM pg_catalog.pg_database d"
            f" WHERE (d.datistemplate OR d.oid IN ({oids})) AND d.datallowconn"
            f" AND d.datconnlimit <> {HALF_DROPPED} AND d.datname NOT IN ({names}) ORDER BY d.oid"
        )
        found = [(name or "", int(oid or 0)) for name, oid in rows]
        return sorted(found, key=lambda one: order.index(one[1]) if one[1] in order else len(order))

    def _doubted(self, oids: set[int]) -> set[int]:
        """Return those of the databases *oids* that a restore of the same contents replaced: they
        were taken for damaged, and a damaged file shows no change."""
        names = {str(oid): oid for oid in oids}
        return {
            names[str(note.body.get("oid"))]
            for note in read_kept_notes(self.repo).swapped
            if str(note.body.get("oid")) in names
            and note.body.get("action") == "restore"
            and note.snapshot is not None
            and self._is_same(note.snapshot)
        }

    def _is_same(self, other: SnapshotId) -> bool:
        if other == self.snapshot_id:
            return True
        known = self.repo.has_snapshot(other)
        return known and same_contents(self.repo.snapshot(other), self.snapshot) is True

    def _committed(self) -> Baseline | None:
        """Return the state in which the database was when the snapshot was made of it, if it can be
        compared with."""
        data = read_baseline(self.repo.chunks, self.snapshot)
        with suppress(SnapError):
            baseline = decode_baseline(data) if data else None
            if baseline is not None and not why_unprovable(baseline):
                return baseline
        return None
