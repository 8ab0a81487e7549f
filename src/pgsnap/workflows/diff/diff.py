"""Diff: what differs between two snapshots, or between one and what a source yields now."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

from pgsnap.dump.definitions.copy_text import copied_columns
from pgsnap.format.sections import decode_piece
from pgsnap.model import ChunkId, Section, SectionKind, SnapshotId
from pgsnap.progress import SILENT, Progress
from pgsnap.repository.chunks.stream import read_head, read_section
from pgsnap.repository.repository import Repository
from pgsnap.sources.base import Source
from pgsnap.workflows.diff import definitions as diff_schema
from pgsnap.workflows.diff.report import (
    DiffReport,
    EntryDiff,
    TableName,
    Version,
    globals_changed,
    other_sections,
    properties_changed,
)
from pgsnap.workflows.diff.sections import SectionPair
from pgsnap.workflows.diff.source_side import read_source
from pgsnap.workflows.diff.tables import differing_tables, names_of, table_diffs, table_named

if TYPE_CHECKING:
    from pgsnap.rows.difference import Counts, RowChange, RowDifference


@dataclass(frozen=True, slots=True)
class TableRows:
    """The rows of one table that differ. *changes* may be read while the context is open.

    *columns* are those of either side, None where they are not known; *encodings* are the client
    encodings in which the rows are written.
    """

    table: TableName
    counts: Counts
    rows: RowDifference
    key: tuple[str, ...]
    columns: tuple[tuple[str, ...] | None, tuple[str, ...] | None]
    encodings: tuple[str, str]

    def changes(self, limit: int | None) -> Iterator[RowChange]:
        return self.rows.changes(limit)


def stored_version(
    repo: Repository, snapshot_id: SnapshotId, without: Collection[ChunkId] = frozenset()
) -> Version:
    """Return a snapshot as a side of a diff; the rows of tables that are listed in the pieces
    *without* are left out. Raises UnknownRevision, CorruptionError."""
    snapshot = repo.snapshot(snapshot_id)
    sections = {
        section.name: section
        for piece, listed in repo.section_pieces(snapshot)
        for section in listed
        if piece not in without or section.name.kind is not SectionKind.DATA
    }
    return Version(
        snapshot_id,
        snapshot,
        snapshot.origin,
        sections,
        lambda section: read_section(repo, section),
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

    *together* are tables of a source whose rows may change places among all that have the same
    second name. Of two snapshots, nothing is read that both have: sections with one digest, chunks
    with one name. Of a source nothing is stored. Raises CorruptionError, and what the source
    raises.
    """
    started = time.monotonic()
    counted: dict[TableName, Counts] = {}
    shared: set[ChunkId] = set()
    if isinstance(after, bytes):
        # What lists the same of both: of 200,000 tables nearly all.
        shared = set(_pieces(repo, before_id)) & set(_pieces(repo, after))
        before, second = (stored_version(repo, one, shared) for one in (before_id, after))
        keys: dict[TableName, tuple[str, ...]] = {}
        if differing := set(differing_tables(before, second)):
            keys = diff_schema.shared_keys(before, second, differing)
        read_bytes = _compare_stored(repo, before, second, keys, counted, progress)
    else:
        before = stored_version(repo, before_id)
        keys = diff_schema.keys_of(before)
        second, read_bytes = _compare_source(
            repo, before, after, keys, counted, together or {}, progress
        )
    entries = diff_schema.definitions(before, second)
    unchanged = _add_redefined(repo, shared, before, second, entries)
    tables, others = table_diffs(before, second, counted, keys, entries)
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
    """Take the rows of tables that were redefined, and did not change, into both sides. Return how
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
    """Compare the definitions alone: of two snapshots no rows are read."""
    before = stored_version(repo, before_id)
    if isinstance(after, bytes):
        second = stored_version(repo, after)
    else:
        second, _ = read_source(repo, before, after, lambda table, columns: None, progress)
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

    Raises UsageError where neither side has it, and as `diff` does.
    """
    before = stored_version(repo, before_id)
    with ExitStack() as stack:
        if isinstance(after, bytes):
            second = stored_version(repo, after)
            table = table_named(name, before, second)
            pair = before.tables.get(table, []), second.tables.get(table, [])
            columns = _columns(repo, before, pair[0]), _columns(repo, second, pair[1])
            key = diff_schema.shared_keys(before, second).get(table, ())
            others = diff_schema.respelled_columns(before).get(table, frozenset())
            made = _row_difference(pair, columns, key, others, keep_texts=True)
            rows = stack.enter_context(made)
            _feed(repo, pair, rows, progress)
        else:
            opened: dict[TableName, tuple[RowDifference, tuple[str, ...] | None]] = {}
            keys = diff_schema.keys_of(before)
            respelled = diff_schema.respelled_columns(before)

            def open_rows(found: TableName, names: tuple[str, ...] | None) -> RowDifference | None:
                if name not in names_of(found):
                    return None
                if found not in opened:
                    parts = before.tables.get(found, [])
                    both = _columns(repo, before, parts), names
                    made = _row_difference(
                        (parts, []),
                        both,
                        keys.get(found, ()),
                        respelled.get(found, frozenset()),
                        keep_texts=True,
                    )
                    opened[found] = stack.enter_context(made), names
                return opened[found][0]

            second, _ = read_source(repo, before, after, open_rows, progress)
            table = table_named(name, before, second)
            pair = before.tables.get(table, []), second.tables.get(table, [])
            if table not in opened:
                # It was dropped, and all its rows with it.
                open_rows(table, None)
                _feed(repo, (pair[0], []), opened[table][0], progress)
            rows = opened[table][0]
            columns = _columns(repo, before, pair[0]), opened[table][1]
            key = keys.get(table, ())
        encodings = before.origin.client_encoding, second.origin.client_encoding
        yield TableRows(table, rows.finish(), rows, key, columns, encodings)


# -- rows ------------------------------------------------------------------------------------------


def _compare_stored(
    repo: Repository,
    before: Version,
    after: Version,
    keys: dict[TableName, tuple[str, ...]],
    counted: dict[TableName, Counts],
    progress: Progress,
) -> int:
    progress.phase("diff")
    read_bytes = 0
    old, new = before.tables, after.tables
    respelled = diff_schema.respelled_columns(before)
    for table in differing_tables(before, after):
        pair = old.get(table, []), new.get(table, [])
        if not pair[0] or not pair[1] or any(s.rows is None for part in pair for s in part):
            continue
        key = keys.get(table, ())
        columns: tuple[tuple[str, ...] | None, tuple[str, ...] | None] = (None, None)
        others = respelled.get(table, frozenset())
        if key or others:
            columns = _columns(repo, before, pair[0]), _columns(repo, after, pair[1])
        with _row_difference(pair, columns, key, others) as rows:
            read_bytes += _feed(repo, pair, rows, progress)
            counted[table] = rows.finish()
    return read_bytes


def _compare_source(
    repo: Repository,
    before: Version,
    source: Source,
    keys: dict[TableName, tuple[str, ...]],
    counted: dict[TableName, Counts],
    together: Mapping[TableName, TableName],
    progress: Progress,
) -> tuple[Version, int]:
    old = before.tables
    respelled = diff_schema.respelled_columns(before)
    open_now: dict[TableName, RowDifference] = {}
    open_trees: dict[TableName, RowDifference] = {}

    def open_tree(root: TableName) -> RowDifference:
        if root not in open_trees:
            parts = [s for table in old if together.get(table) == root for s in old[table]]
            open_trees[root] = _row_difference((parts, []), (None, None), (), frozenset())
        return open_trees[root]

    def open_rows(table: TableName, names: tuple[str, ...] | None) -> RowDifference | None:
        if table in open_now:
            return open_now[table]
        if table not in old:
            return None
        if table in together:
            return open_tree(together[table])
        # The tables before this one are done, unless another part of one may come.
        _count({each: rows for each, rows in open_now.items() if len(old[each]) == 1}, counted)
        for each in counted:
            open_now.pop(each, None)
        columns = _columns(repo, before, old[table]), names
        others = respelled.get(table, frozenset())
        open_now[table] = _row_difference((old[table], []), columns, keys.get(table, ()), others)
        return open_now[table]

    try:
        version, read_bytes = read_source(repo, before, source, open_rows, progress)
        _count(open_now, counted)
        trees: dict[TableName, Counts] = {}
        _count(open_trees, trees)
        counted |= {table: trees[root] for table, root in together.items() if root in trees}
    finally:
        for rows in (*open_now.values(), *open_trees.values()):
            rows.close()
    return version, read_bytes


def _count(open_now: dict[TableName, RowDifference], counted: dict[TableName, Counts]) -> None:
    """End the comparison of tables of which nothing more comes."""
    for table, rows in open_now.items():
        counted[table] = rows.finish()
        rows.close()


def _feed(
    repo: Repository,
    pair: tuple[list[Section], list[Section]],
    rows: RowDifference,
    progress: Progress,
) -> int:
    """Give *rows* what differs in the sections of a table. Returns the bytes that were read."""
    old, new = list(pair[0]), list(pair[1])
    for section in pair[0]:
        same = next((s for s in new if s.digest == section.digest), None)
        if same is not None:
            old.remove(section)
            new.remove(same)
    read_bytes = 0
    for before, after in zip_longest(old, new):
        compared = SectionPair(repo, before, after, rows, progress)
        compared.compare()
        read_bytes += compared.read_bytes
    return read_bytes


def _row_difference(
    pair: tuple[list[Section], list[Section]],
    columns: tuple[tuple[str, ...] | None, tuple[str, ...] | None],
    key: tuple[str, ...],
    respelled: frozenset[str],
    *,
    keep_texts: bool = False,
) -> RowDifference:
    from pgsnap.rows.difference import RowDifference
    from pgsnap.rows.sets import Key

    expected = 2 * max(sum(s.rows or 0 for s in part) for part in pair)
    keys = None
    first, second = columns
    if key and first is not None and second is not None and set(key) <= {*first} & {*second}:
        keys = (
            Key([first.index(name) for name in key], len(first)),
            Key([second.index(name) for name in key], len(second)),
        )
    if respelled and first is not None and second is not None:
        from pgsnap.rows.respelled import RespelledRows

        places = tuple(
            [names.index(n) for n in names if n in respelled] for names in columns if names
        )
        return RespelledRows(
            keys, (places[0], places[1]), keep_texts=keep_texts, rows_expected=expected
        )
    return RowDifference(keys, keep_texts=keep_texts, rows_expected=expected)


def _columns(repo: Repository, version: Version, sections: list[Section]) -> tuple[str, ...] | None:
    if not sections or not sections[0].head_bytes:
        return None
    return copied_columns(read_head(repo, sections[0]), version.origin.client_encoding)
