"""The tables of a snapshot, by its definitions."""

from __future__ import annotations

import shlex

from pgsnap.dump.table_parts import Definitions, TableName
from pgsnap.dump.table_tree import with_all_below
from pgsnap.model import SectionKind, Snapshot, SnapshotId, quote_ident
from pgsnap.repository.repository import Repository
from pgsnap.repository.stream import snapshot_stream


def shown(table: TableName) -> str:
    """Return a table's name for people, with quotes where SQL needs them."""
    return ".".join(map(quote_ident, table))


def copy_command(snapshot_id: SnapshotId, table: TableName) -> str:
    """Return the command that restores a table, and what its rows need, into a new database."""
    return f"snap restore {snapshot_id.hex()[:12]} --to NEW --table {shlex.quote(shown(table))}"


def by_a_copy(snapshot_id: SnapshotId, table: TableName) -> str:
    """Return the way to a table that cannot be made in the live database."""
    return (
        "Restore it into a new database, and copy what is needed from there:"
        f" {copy_command(snapshot_id, table)}"
    )


def section_text(repo: Repository, snapshot: Snapshot, kind: SectionKind) -> bytes:
    """Return the sections of one kind, one after another."""
    names = [s.name for s in repo.sections(snapshot) if s.name.kind is kind]
    return b"".join(snapshot_stream(repo, snapshot, restrict_key=None, sections=names))


def read_definitions(repo: Repository, snapshot: Snapshot) -> Definitions:
    """Return the definitions of *snapshot*. Raises CorruptionError, StoreError."""
    return Definitions.read(
        section_text(repo, snapshot, SectionKind.PRE_DATA),
        section_text(repo, snapshot, SectionKind.POST_DATA),
        snapshot.origin.client_encoding,
    )


def with_rows_of(
    repo: Repository, snapshot: Snapshot, tables: tuple[TableName, ...]
) -> tuple[TableName, ...]:
    """Return *tables* and all others in which rows of theirs are: their partitions and heirs."""
    return with_all_below(read_definitions(repo, snapshot), tables) if tables else ()
