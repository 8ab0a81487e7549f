"""One table of a snapshot: its columns, its key, and the sections that hold its rows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from pgsnap.dump.definitions.copy_text import copied_columns
from pgsnap.dump.definitions.ddl import primary_keys
from pgsnap.dump.definitions.entry_stream import entries
from pgsnap.dump.definitions.table_columns import ColumnDefinition, columns_in
from pgsnap.dump.definitions.table_parts import (
    Definitions,
    TableName,
    attached,
    is_partitioned,
    table_parts,
    tables_of,
)
from pgsnap.dump.definitions.table_tree import partitions_below
from pgsnap.dump.entries import ENTRY, decode, parse_entry
from pgsnap.model import Section, SectionKind, SectionName, Snapshot, SnapshotId
from pgsnap.repository.chunks.stream import read_head, text_of_kinds
from pgsnap.repository.repository import Repository
from pgsnap.values import dataclass
from pgsnap.workflows.contents.table_names import check_known, section_text
from pgsnap.workflows.contents.table_rows import sections_of_rows


@dataclass(frozen=True, slots=True)
class TablePart:
    """A section with rows of a table: of the table itself, or of a partition of it. *columns* are
    those of its rows, in their order; None if they are not known (a foreign dump)."""

    table: TableName
    section: Section
    columns: tuple[str, ...] | None


class SnapshotTables:
    """The tables of one snapshot. What needs its definitions reads them, once."""

    def __init__(self, repo: Repository, snapshot_id: SnapshotId) -> None:
        """Raises UnknownRevision, CorruptionError."""
        self.repo = repo
        self.snapshot_id = snapshot_id
        self.snapshot = repo.snapshot(snapshot_id)
        self._read: DefinitionsRead | None = None

    def share(self, other: SnapshotTables) -> None:
        """Use what another snapshot, that was looked into before, has the same of."""
        if other.snapshot.sections_recipe == self.snapshot.sections_recipe:
            self._listed = other._listed
        if other._listed[1] == self._listed[1]:
            self._read = other.definitions

    def let_go(self) -> None:
        """Hold the lists of its sections no longer; they are read again if they are asked for."""
        for name in ("_listed", "_by_partition"):
            self.__dict__.pop(name, None)

    @property
    def encoding(self) -> str:
        """The encoding of its rows."""
        return self.snapshot.origin.client_encoding

    @property
    def definitions(self) -> DefinitionsRead:
        if self._read is None:
            self._read = DefinitionsRead(self.repo, self.snapshot)
        return self._read

    def has(self, name: TableName) -> bool:
        """Return whether there is such a table."""
        return name in self._by_name or name in self.definitions.tables

    @property
    def _by_name(self) -> dict[TableName, list[Section]]:
        return self._listed[0]

    @cached_property
    def _listed(self) -> tuple[dict[TableName, list[Section]], tuple[object, ...]]:
        """The sections of rows by the table that they name, and what is equal of snapshots with
        the same definitions."""
        found: dict[TableName, list[Section]] = {}
        digests: list[object] = [self.encoding]
        for section in self.repo.sections(self.snapshot):
            if section.name.kind is SectionKind.DATA:
                found.setdefault((section.name.schema, section.name.name), []).append(section)
            elif section.name.kind in (SectionKind.PRE_DATA, SectionKind.POST_DATA):
                # Equal lists of chunks: snapshots may have no digest of one sort in common.
                digests.append((section.name, section.segments))
        return found, tuple(digests)

    def table(self, name: TableName) -> PastTable:
        """Return a table with all its rows: of a partitioned one those of its partitions. Raises
        UnknownRevision, CorruptionError."""
        return PastTable(self, name, self._parts(name))

    def _parts(self, name: TableName) -> tuple[TablePart, ...]:
        found = [(name, section) for section in self._by_name.get(name, ())]
        # pg_dump may load the rows of partitions by way of their root, some of them or all.
        if len(found) != 1 or not self._is_own(name, found[0][1]):
            check_known(self.definitions.all, self.snapshot_id, [] if found else [name])
            rows = self._by_partition if self.definitions.parents else self._by_name
            members = partitions_below(self.definitions.all, [name])
            found = [(one, section) for one in members for section in rows.get(one, ())]
        return tuple(TablePart(table, section, self._columns(section)) for table, section in found)

    def _is_own(self, name: TableName, section: Section) -> bool:
        """Return whether the header of a table's rows names the table too."""
        return self._head(section)[0] in (None, name[1])

    @cached_property
    def _by_partition(self) -> dict[TableName, list[Section]]:
        return sections_of_rows(self.repo, self.snapshot, self.definitions.all)

    def _columns(self, section: Section) -> tuple[str, ...] | None:
        if section.rows is None or not section.head_bytes:
            return None
        return self._head(section)[1]

    def _head(self, section: Section) -> tuple[str | None, tuple[str, ...] | None]:
        """Return which table the header before a section's rows names, and their columns.

        With the same definitions pg_dump writes the same head. Only several sections of one table
        may be of other partitions in the next dump.
        """
        known = self.definitions.heads
        found = known.get((section.name, section.head_bytes))
        if found is None:
            head = read_head(self.repo.chunks, section)
            header = ENTRY.search(head)
            name = decode(parse_entry(header).name, self.encoding) if header is not None else None
            found = name, copied_columns(head, self.encoding)
            if self.snapshot.origin.is_pg_dump and not section.name.part:
                known[section.name, section.head_bytes] = found
        return found


class DefinitionsRead:
    """The definitions of a snapshot, read when they are first needed."""

    def __init__(self, repo: Repository, snapshot: Snapshot) -> None:
        self._repo = repo
        self._snapshot = snapshot
        self._columns: dict[TableName, tuple[ColumnDefinition, ...]] = {}
        self.heads: dict[tuple[SectionName, int], tuple[str | None, tuple[str, ...] | None]] = {}
        """What heads of sections say, by their names and sizes: see `SnapshotTables._head`."""

    @cached_property
    def _post_data(self) -> bytes:
        return section_text(self._repo, self._snapshot, SectionKind.POST_DATA)

    @cached_property
    def all(self) -> Definitions:
        pre_data = section_text(self._repo, self._snapshot, SectionKind.PRE_DATA)
        return Definitions.read(pre_data, self._post_data, self._snapshot.origin.client_encoding)

    @cached_property
    def tables(self) -> frozenset[TableName]:
        return frozenset(tables_of(self.all))

    @cached_property
    def parents(self) -> dict[TableName, TableName]:
        """Each partition's parent."""
        return {
            attached(entry): entry.table
            for entry in self.all.pre
            if entry.type == "TABLE ATTACH" and entry.table is not None
        }

    def columns(self, table: TableName) -> tuple[ColumnDefinition, ...]:
        """Return the columns that a table's definition lists; none where there is no such table."""
        if table not in self._columns:
            self._columns[table] = columns_in(self._made(table))
        return self._columns[table]

    def _made(self, table: TableName) -> str:
        """Return the text of a table's entry, "" if there is none. Of very many tables only this
        one is held, unless all were read for another reason."""
        if "all" not in self.__dict__:
            encoding = self._snapshot.origin.client_encoding
            blocks = text_of_kinds(self._repo, self._snapshot, SectionKind.PRE_DATA)
            for entry, text in entries(blocks):
                name = decode(entry.schema, encoding), decode(entry.name, encoding)
                if entry.type == b"TABLE" and name == table:
                    return decode(text.strip(), encoding)
        # A header has spaces for the line ends of a name.
        made = (e.text for e in self.all.pre if e.type == "TABLE" and e.table == table)
        return next(made, "")

    def key(self, table: TableName) -> tuple[str, ...]:
        """Return the columns of a table's primary key, none if it has none."""
        encoding = self._snapshot.origin.client_encoding
        return primary_keys(self._post_data, encoding, {table}).get(table, ())

    def indexes(self, table: TableName) -> frozenset[TableName]:
        """Return the indexes of a table, those of constraints too."""
        parts = table_parts(self.all, table)
        return frozenset(parts.indexes) if parts is not None else frozenset()

    def kept_names(self, table: TableName) -> frozenset[TableName]:
        """Return the names of what keeps them when the table gets another one: its indexes and
        sequences."""
        parts = table_parts(self.all, table)
        return frozenset((*parts.indexes, *parts.sequences)) if parts is not None else frozenset()

    def should_hold_rows(self, table: TableName) -> bool:
        """Return whether a dump with all rows has a section for this table."""
        made = self._made(table)
        return bool(made) and not is_partitioned(made)


class PastTable:
    """A table as it was in a snapshot."""

    def __init__(self, tables: SnapshotTables, name: TableName, parts: Sequence[TablePart]) -> None:
        self.tables = tables
        self.name = name
        self.parts = tuple(parts)

    @property
    def repo(self) -> Repository:
        return self.tables.repo

    @property
    def encoding(self) -> str:
        return self.tables.encoding

    @property
    def rows(self) -> int | None:
        """How many rows it has, None if they cannot be told apart (INSERTs of a foreign dump)."""
        counts = [part.section.rows for part in self.parts]
        return None if None in counts else sum(count or 0 for count in counts)

    @property
    def plain_bytes(self) -> int:
        return sum(part.section.plain_bytes for part in self.parts)

    @cached_property
    def columns(self) -> tuple[ColumnDefinition, ...]:
        """Its columns: those that its rows have first, in their order. The types of columns that
        an inherited or typed table does not list itself are empty."""
        defined = {column.name: column for column in self.tables.definitions.columns(self.name)}
        copied = (self.parts[0].columns or ()) if self.parts else ()
        names = dict.fromkeys((*copied, *defined))
        return tuple(defined.get(name, ColumnDefinition(name, "")) for name in names)

    @cached_property
    def column_names(self) -> tuple[str, ...]:
        """The names of the columns that its rows have; needs no definitions where there are
        rows."""
        if self.parts and self.parts[0].columns is not None:
            return self.parts[0].columns
        return tuple(column.name for column in self.columns if not column.is_generated)

    @cached_property
    def types(self) -> dict[str, str]:
        """The types of its columns, as the definitions spell them."""
        return {column.name: column.type for column in self.columns}

    @cached_property
    def key(self) -> tuple[str, ...]:
        """The columns of its primary key, none if it has none."""
        return self.tables.definitions.key(self.name)

    @cached_property
    def lacks_rows(self) -> bool:
        """Whether the snapshot does not have the rows of the table, or of one of its partitions:
        they were excluded from the dump."""
        known = self.tables.definitions
        held = {part.table for part in self.parts}
        if held == {self.name}:
            return False
        members = partitions_below(known.all, [self.name])
        return any(known.should_hold_rows(one) for one in members if one not in held)


def past_table(repo: Repository, snapshot_id: SnapshotId, name: TableName) -> PastTable:
    """Return a table of a snapshot. Raises UnknownRevision, CorruptionError."""
    return SnapshotTables(repo, snapshot_id).table(name)
