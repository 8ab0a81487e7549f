"""Compares the restored values with the original ones beyond their printed form."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from pgsnap.errors import ConnectionFailed, QueryFailed, SnapError
from pgsnap.model import Finding, SnapshotId, same_contents
from pgsnap.repository.repository import Repository
from pgsnap.sessions.server import Server
from pgsnap.sources.properties import read_server
from pgsnap.targets.checks.exact_values import (
    Digest,
    TypedColumn,
    digests,
    print_exactly,
    typed_columns,
)
from pgsnap.targets.swap.kept import find_kept
from pgsnap.words import some
from pgsnap.workflows.drill.report import failed
from pgsnap.workflows.notes.kept_databases import read_kept_notes


@dataclass(frozen=True, slots=True)
class ValueFindings:
    """Columns of extensions' types. *rounded*: the restored values differ from the originals,
    though they print the same. *inexact*: the live values' printed form does not reproduce them
    byte for byte. *unknown*: nothing is known beyond their printed form."""

    rounded: tuple[TypedColumn, ...] = ()
    inexact: tuple[TypedColumn, ...] = ()
    unknown: tuple[TypedColumn, ...] = ()

    @property
    def notices(self) -> tuple[str, ...]:
        told = []
        if self.inexact:
            told.append(
                "not proven: values that are not the same, byte by byte, once they are read back"
                " from what they print; they may print less than they hold:"
                f" {some([str(column) for column in self.inexact])}"
            )
        if self.unknown:
            told.append(
                "not proven beyond what they print: values of extensions' types, in"
                f" {some([str(column) for column in self.unknown])}"
            )
        return tuple(told)

    def outcome(self) -> Finding:
        """Return the contents check if values are *rounded*."""
        return failed(
            "values print less than they hold, so no dump has them:"
            f" {some([str(column) for column in self.rounded])}",
            *[f"{column}: the restored values are others than the original ones, though both print"
              " the same" for column in self.rounded],
            hint="Keep what such values are made of in columns of PostgreSQL's own types"
            " (docs/extensions.md).",
        )  # fmt: skip


def original_databases(
    repo: Repository, server: Server, snapshot_id: SnapshotId, live: str
) -> tuple[str, ...]:
    """Return the databases of *server* whose values can be compared with the snapshot's: *live*,
    which changes meanwhile, and kept ones that held the snapshot's contents when replaced."""
    found = [live]
    # The kept ones are optional.
    with suppress(SnapError), server.connect(server.maintenance_database()) as session:
        notes, info = read_kept_notes(repo).swapped, read_server(session)
        snapshot = repo.snapshot(snapshot_id)
        for kept in find_kept(session, notes, info.system_identifier):
            if kept.safety is None or kept.is_half_dropped:
                continue
            with suppress(SnapError):
                if kept.safety == snapshot_id or same_contents(
                    repo.snapshot(kept.safety), snapshot
                ):
                    found.append(kept.name)
    return tuple(found)


def compare_values(server: Server, copy: str, originals: Sequence[str]) -> ValueFindings:
    """Compare the columns of extensions' types in the database *copy* with those of *originals*,
    reading each one only for what the previous ones left undecided. If all have changed since, or
    have no binary form, check whether their printed form is exact. Raises ConnectionFailed,
    QueryFailed."""
    with server.connect(copy) as session:
        columns = typed_columns(session)
        restored = digests(session, columns) if columns else {}
    rounded: list[TypedColumn] = []
    exact: dict[TypedColumn, bool] = {}
    doubtful = columns
    for name in originals:
        # If it fails, the columns are unknown, which is reported.
        with suppress(ConnectionFailed, QueryFailed):
            if not doubtful:
                break
            with server.connect(name) as session:
                known = set(typed_columns(session))
                asked = [column for column in doubtful if column in known]
                there = digests(session, asked)
                same = {c for c in asked if _is_same(restored.get(c), there.get(c))}
                other = [c for c in asked if _is_rounded(restored.get(c), there.get(c))]
                rounded += other
                doubtful = [c for c in doubtful if c not in same and c not in other]
                left = [c for c in doubtful if c in known and c not in exact]
                exact |= print_exactly(session, left)
    return ValueFindings(
        tuple(rounded),
        tuple(column for column in doubtful if not exact.get(column, True)),
        tuple(column for column in doubtful if column not in exact),
    )


def _is_same(ours: Digest | None, theirs: Digest | None) -> bool:
    return ours is not None and ours == theirs


def _is_rounded(ours: Digest | None, theirs: Digest | None) -> bool:
    return (
        ours is not None
        and theirs is not None
        and ours.printed == theirs.printed
        and ours.held != theirs.held
    )
