"""Diff: the differences between two snapshots, or between one and a live source."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING

from pgsnap.format.sections import decode_piece
from pgsnap.model import ChunkId, Section, SectionKind, SectionName, SnapshotId
from pgsnap.progress import SILENT, Progress
from pgsnap.repository.chunks.store import ChunkStore
from pgsnap.repository.chunks.stream import read_section
from pgsnap.repository.repository import Repository
from pgsnap.sources.base import Source
from pgsnap.workflows.diff import definitions as diff_schema
from pgsnap.workflows.diff.digests import make_comparable
from pgsnap.workflows.diff.report import (
    DiffReport,
    EntryDiff,
    TableName,
    Version,
    globals_changed,
    other_sections,
    properties_changed,
)
from pgsnap.workflows.diff.rows import Columns, PassingTables, RowRules, TableRows, columns_of
from pgsnap.workflows.diff.source_side import read_source
from pgsnap.workflows.diff.tables import differing_tables, names_of, table_diffs, table_named

if TYPE_CHECKING:
    from pgsnap.rows.difference import Counts, RowDifference


def stored_version(
    repo: Repository,
    snapshot_id: SnapshotId,
    without: Collection[ChunkId] = frozenset(),
    *,
    beside: Mapping[SectionName, Section] | None = None,
) -> Version:
    """Return a snapshot as a side of a diff, without the rows of tables that are listed in the
    pieces *without*. What is the same in the sections *beside* is not held twice. Raises
    UnknownRevision, CorruptionError."""
    snapshot, known = repo.snapshot(snapshot_id), beside or {}
    sections = {}
    for piece, listed in repo.section_pieces(snapshot):
        for section in listed:
            if piece not in without or section.name.kind is not SectionKind.DATA:
                same = known.get(section.name)
                one = same if same is not None and same == section else section
                sections[one.name] = one
    return Version(
        snapshot_id,
        snapshot,
        snapshot.origin,
        sections,
        lambda section: read_section(repo.chunks, section),
    )


def diff(
    repo: Repository,
    before_id: SnapshotId,
    after: SnapshotId | Source,
    *,
    together: Mapping[TableName, TableName] | None = None,
    progress: Progress = SILENT,
) -> DiffReport:
    """Compare a snapshot with another, or with the dump that a source yields.

    *together* are tables of a source whose rows may move among all tables with the same second
    name. Of two snapshots, nothing that both share is read: sections with one digest, chunks with
    one name. Of a source nothing is stored. Raises CorruptionError, and what the source raises.
    """
    started = time.monotonic()
    chunks = repo.chunk_store
    shared: set[ChunkId] = set()
    if isinstance(after, bytes):
        # Pieces that list the same on both sides: with 200,000 tables nearly all.
        shared = set(_pieces(repo, before_id)) & set(_pieces(repo, after))
        before = stored_version(repo, before_id, shared)
        second = stored_version(repo, after, shared, beside=before.sections)
        make_comparable(chunks.reader, before, second)
        differing = dict.fromkeys(differing_tables(before, second))
        rules = RowRules(
            partial(diff_schema.shared_keys, before, second, differing),
            partial(diff_schema.respelled_columns, before),
        )
        counted, read_bytes = _compare_stored(chunks, before, second, differing, rules, progress)
    else:
        before = stored_version(repo, before_id)
        rules = RowRules(
            partial(diff_schema.keys_of, before), partial(diff_schema.respelled_columns, before)
        )
        with PassingTables(chunks.reader, before, rules, together or {}) as passing:
            second, read_bytes = read_source(chunks, before, after, passing.open, progress)
            counted = passing.finish()
        make_comparable(chunks.reader, before, second)
    entries = diff_schema.definitions(before, second)
    unchanged = _add_redefined(repo, shared, before, second, entries)
    tables, others = table_diffs(before, second, counted, rules, entries)
    unchanged += others
    return DiffReport(
        before=before,
        after=second,
        tables=tuple(tables),
        unchanged_tables=unchanged,
        definitions=tuple(entries),
        sequences=tuple(diff_schema.sequences(before, second)),
        large_objects_changed=before.digest(SectionKind.LARGE_OBJECTS)
        != second.digest(SectionKind.LARGE_OBJECTS),
        other=other_sections(before, second),
        globals_changed=globals_changed(before, second),
        properties_changed=properties_changed(before, second),
        read_bytes=read_bytes,
        seconds=time.monotonic() - started,
    )


def _pieces(repo: Repository, snapshot_id: SnapshotId) -> Iterator[ChunkId]:
    return (piece for piece, _ in repo.section_pieces(repo.snapshot(snapshot_id)))


def _add_redefined(
    repo: Repository,
    shared: Collection[ChunkId],
    before: Version,
    after: Version,
    entries: Sequence[EntryDiff],
) -> int:
    """Add the rows of tables that were redefined without a change of rows to both sides. Return how
    many other tables are listed in the pieces *shared*."""
    redefined = {entry.table for entry in entries}
    others = 0
    for piece in shared:
        for section in decode_piece(repo.chunks.read(piece)):
            name = section.name
            if name.kind is not SectionKind.DATA:
                continue
            if (name.schema, name.name) in redefined:
                before.sections[name] = after.sections[name] = section
            else:
                others += not name.part
    return others


def diff_definitions(
    repo: Repository, before_id: SnapshotId, after: SnapshotId | Source, progress: Progress = SILENT
) -> tuple[Version, Version, list[EntryDiff]]:
    """Compare only the definitions: of two snapshots no rows are read."""
    before = stored_version(repo, before_id)
    if isinstance(after, bytes):
        second = stored_version(repo, after, beside=before.sections)
    else:
        nobody = lambda table, columns: None  # noqa: E731
        second, _ = read_source(repo.chunk_store, before, after, nobody, progress)
    return before, second, diff_schema.definitions(before, second)


@contextmanager
def diff_rows(
    repo: Repository,
    before_id: SnapshotId,
    after: SnapshotId | Source,
    name: str,
    *,
    progress: Progress = SILENT,
) -> Iterator[TableRows]:
    """Compare the rows of one table, named ``schema.table`` (``table`` alone: of any schema).

    Raises UsageError if neither side has it, and what `diff` raises.
    """
    chunks, before = repo.chunk_store, stored_version(repo, before_id)
    respelled = partial(diff_schema.respelled_columns, before)
    with ExitStack() as stack:
        if isinstance(after, bytes):
            second = stored_version(repo, after, beside=before.sections)
            table = table_named(name, before, second)
            old, new = (side.some_tables({table}).get(table, []) for side in (before, second))
            columns = (
                columns_of(chunks.reader, before, old),
                columns_of(chunks.reader, second, new),
            )
            rules = RowRules(partial(diff_schema.shared_keys, before, second, {table}), respelled)
            rows = stack.enter_context(
                TableRows(table, (old, new), columns, rules, keep_texts=True)
            )
            rows.compare(chunks, progress)
        else:
            rules = RowRules(partial(diff_schema.keys_of, before), respelled)
            shown: dict[TableName, TableRows] = {}

            def show(found: TableName, new: Sequence[Section], names: Columns) -> TableRows:
                old = before.tables.get(found, [])
                columns = columns_of(chunks.reader, before, old), names
                made = TableRows(found, (old, new), columns, rules, keep_texts=True)
                return stack.enter_context(made)

            def open_rows(found: TableName, names: Columns) -> RowDifference | None:
                if name in names_of(found) and found not in shown:
                    shown[found] = show(found, [], names)
                return shown[found].rows if found in shown else None

            second, _ = read_source(chunks, before, after, open_rows, progress)
            table = table_named(name, before, second)
            if table in shown:
                rows = shown[table]
            else:
                # It was dropped with all its rows, or no row differs.
                rows = show(table, second.tables.get(table, []), None)
                rows.compare(chunks, progress)
        rows.finish()
        rows.encodings = before.origin.client_encoding, second.origin.client_encoding
        yield rows


def _compare_stored(
    chunks: ChunkStore,
    before: Version,
    after: Version,
    differing: Collection[TableName],
    rules: RowRules,
    progress: Progress,
) -> tuple[dict[TableName, Counts], int]:
    """Return how many rows differ in each of the tables *differing* that both have, and the bytes
    that were read."""
    progress.phase("diff")
    counted: dict[TableName, Counts] = {}
    read_bytes = 0
    old, new = before.some_tables(differing), after.some_tables(differing)
    for table in differing:
        pair = old.get(table, []), new.get(table, [])
        if not pair[0] or not pair[1] or any(s.rows is None for part in pair for s in part):
            continue
        columns = (
            columns_of(chunks.reader, before, pair[0]),
            columns_of(chunks.reader, after, pair[1]),
        )
        with TableRows(table, pair, columns, rules) as rows:
            read_bytes += rows.compare(chunks, progress)
            counted[table] = rows.finish()
    return counted, read_bytes
