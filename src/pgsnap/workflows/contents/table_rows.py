"""Maps the sections of a snapshot to the tables whose rows they hold.

A section is named by its COPY statement. That names the topmost table instead of the partition if
pg_dump loads a partition's rows through it: always if the partition is chosen by the hash of an
enum (whose values get different OIDs in another database), else with --load-via-partition-root. The
header of the entry still names the partition.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from pgsnap.dump.definitions.table_parts import Definitions, TableName
from pgsnap.dump.definitions.table_tree import partitions_below
from pgsnap.dump.entries import ENTRY, decode, parse_entry
from pgsnap.errors import CorruptionError
from pgsnap.model import Section, SectionKind, Snapshot
from pgsnap.repository.chunks.stream import read_head
from pgsnap.repository.repository import Repository
from pgsnap.targets.checks.preflight import Findings
from pgsnap.workflows.contents.table_names import read_definitions, shown


def sections_of_rows(
    repo: Repository, snapshot: Snapshot, definitions: Definitions
) -> dict[TableName, list[Section]]:
    """Return for each table the sections that hold its rows, in the dump's order."""
    parents = {entry.table for entry in definitions.pre if entry.type == "TABLE ATTACH"}
    found: dict[TableName, list[Section]] = {}
    below: dict[TableName, dict[TableName, list[TableName]]] = {}
    for section in repo.sections(snapshot):
        if section.name.kind is SectionKind.DATA:
            table = copied_name(section)
            if table in parents:
                if table not in below:
                    below[table] = _below_as_shown(definitions, table)
                table = _in_header(repo, snapshot, section, below[table])
            found.setdefault(table, []).append(section)
    return found


def copied_name(section: Section) -> TableName:
    """Return the table that a section's COPY statement names."""
    return section.name.schema, section.name.name


def rows_by_table(repo: Repository, snapshot: Snapshot) -> dict[TableName, list[Section]]:
    """Return `sections_of_rows` for a snapshot whose definitions were not read yet."""
    return sections_of_rows(repo, snapshot, read_definitions(repo, snapshot))


def by_way_of_others(
    repo: Repository, snapshot: Snapshot, tables: Collection[TableName]
) -> Findings:
    """Report which of *tables*, alone in a new database, get their rows through another table: that
    may route them to a different partition of it."""
    rows = rows_by_table(repo, snapshot) if tables else {}
    found = {
        f"rows of {shown(table)} are given to {shown(copied_name(section))}, as the dump has it: in"
        " the new database they may be in another of its partitions"
        for table in tables
        for section in rows.get(table, ())
        if copied_name(section) not in tables
    }
    return Findings(warnings=tuple(sorted(found)))


def _below_as_shown(definitions: Definitions, root: TableName) -> dict[TableName, list[TableName]]:
    """Return *root* and its partitions, keyed by their names in headers."""
    found: dict[TableName, list[TableName]] = {}
    for name in partitions_below(definitions, [root]):
        found.setdefault(_as_shown(name), []).append(name)
    return found


def _in_header(
    repo: Repository,
    snapshot: Snapshot,
    section: Section,
    below: Mapping[TableName, list[TableName]],
) -> TableName:
    """Return which of *below* these rows belong to according to the entry's header."""
    root = copied_name(section)
    encoding = snapshot.origin.client_encoding
    match = ENTRY.search(read_head(repo.chunks, section))
    if match is None:
        return root
    entry = parse_entry(match)
    header = decode(entry.schema, encoding), decode(entry.name, encoding)
    found = below.get(header, [])
    if len(found) != 1:
        raise CorruptionError(
            f"no partition of {'.'.join(root)} is the one whose rows are in {section.name}",
            detail=f"The dump says that they are those of {'.'.join(header)}.",
            hint="Look for damage: snap verify --data",
        )
    return found[0]


def _as_shown(name: TableName) -> TableName:
    """Return a name as pg_dump writes it in a header: with spaces for line ends."""
    schema, table = (part.replace("\n", " ").replace("\r", " ") for part in name)
    return schema, table
