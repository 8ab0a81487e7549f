"""The tables of a snapshot, according to its definitions."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from pgsnap.dump.definitions.ddl import sequence_values
from pgsnap.dump.definitions.table_parts import Definitions, TableName, parse_name, tables_of
from pgsnap.dump.definitions.table_tree import with_all_below
from pgsnap.errors import UnknownRevision, UsageError
from pgsnap.model import SectionKind, Snapshot, SnapshotId, quote_ident
from pgsnap.repository.chunks.stream import text_of_kinds, whole_text
from pgsnap.repository.repository import Repository
from pgsnap.words import nearest


def shown(table: TableName) -> str:
    """Return a table's name for display, with quotes where SQL needs them."""
    return ".".join(map(quote_ident, table))


def copy_command(snapshot_id: SnapshotId, table: TableName) -> str:
    """Return the command that restores a table, and what its rows need, into a new database."""
    return f"snap restore {snapshot_id.hex()[:12]} --to NEW --table {shlex.quote(shown(table))}"


def by_a_copy(snapshot_id: SnapshotId, table: TableName) -> str:
    """Return the hint for a table that cannot be created in the live database."""
    return (
        "Restore it into a new database, and copy what is needed from there:"
        f" {copy_command(snapshot_id, table)}"
    )


def section_text(repo: Repository, snapshot: Snapshot, kind: SectionKind) -> bytes:
    """Return the sections of one kind, concatenated."""
    return whole_text(text_of_kinds(repo, snapshot, kind))


def extension_sequences(repo: Repository, snapshot: Snapshot) -> dict[str, tuple[int, bool]]:
    """Return the values of extensions' sequences, which no dump holds, by quoted name. Raises
    CorruptionError, StoreError."""
    if snapshot.extension_sequences_root is None:
        return {}
    return sequences_in(repo, snapshot, SectionKind.EXTENSION_SEQUENCES)


def sequences_in(
    repo: Repository, snapshot: Snapshot, kind: SectionKind = SectionKind.SEQUENCES
) -> dict[str, tuple[int, bool]]:
    """Return the values of the sequences in the sections of one kind, by quoted name."""
    return sequence_values(section_text(repo, snapshot, kind), snapshot.origin.client_encoding)


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
    """Return *tables* and all others that hold rows of theirs: their partitions and inheritance
    children."""
    return with_all_below(read_definitions(repo, snapshot), tables) if tables else ()


def parse_tables(names: Iterable[str]) -> tuple[TableName, ...]:
    """Return the tables named by ``--table``, each once. Raises UsageError."""
    found: dict[TableName, None] = {}
    for name in names:
        table = parse_name(name)
        if table is None:
            raise UsageError(
                f'"{name}" is no name of a table',
                detail='It is written as in SQL: public.orders, or shop."Order Items".',
            )
        found[table] = None
    return tuple(found)


def check_tables_known(
    repo: Repository, snapshot: Snapshot, snapshot_id: SnapshotId, wanted: tuple[TableName, ...]
) -> None:
    """Raise UnknownRevision for tables that the snapshot does not have: neither defined, nor with
    rows, as the tables that an extension creates."""
    with_rows = {
        (section.name.schema, section.name.name)
        for section in repo.sections(snapshot)
        if section.name.kind is SectionKind.DATA
    }
    left = [table for table in wanted if table not in with_rows]
    if left:
        check_known(read_definitions(repo, snapshot), snapshot_id, left)


def check_known(
    definitions: Definitions, snapshot_id: SnapshotId, wanted: Iterable[TableName]
) -> None:
    """Raise UnknownRevision for tables that are not in *definitions*."""
    there = set(tables_of(definitions))
    for table in wanted:
        if table in there:
            continue
        near = sorted(name for name in there if name[1] == table[1])
        also = f" It has {', '.join(map(shown, near))}." if near else ""
        raise UnknownRevision(
            f"the snapshot has no table {shown(table)}",
            detail=f"Names are as in SQL, without a schema they mean public.{also}",
            hint=_which(shown(table), map(shown, there), snapshot_id),
        )


def _which(asked: str, there: Iterable[str], snapshot_id: SnapshotId) -> str:
    found = nearest(asked, there)
    guess = f"Did you mean --table {found}? " if found is not None else ""
    return f"{guess}See which it has: snap show {snapshot_id.hex()[:12]}"
