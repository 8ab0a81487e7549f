"""Which tables an export has, where their rows are, and what their columns are called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from pgsnap.dump.definitions.copy_text import copied_columns
from pgsnap.dump.definitions.table_columns import ColumnType, ColumnTypes
from pgsnap.dump.definitions.table_parts import Definitions, TableName
from pgsnap.dump.definitions.table_tree import partitions_below
from pgsnap.errors import CorruptionError, UnusableInput, UsageError
from pgsnap.model import Section, SectionKind, Snapshot, SnapshotId
from pgsnap.patterns import regex
from pgsnap.repository.repository import Repository
from pgsnap.tabular.base import Column, Shape, Wishes, full_name
from pgsnap.values import dataclass
from pgsnap.words import did_you_mean
from pgsnap.workflows.contents.table_names import check_tables_known, shown
from pgsnap.workflows.contents.table_rows import sections_of_rows

_LEFT_OUT = {
    "VIEW": "view",
    "MATERIALIZED VIEW": "materialized view",
    "FOREIGN TABLE": "foreign table",
    "SEQUENCE": "sequence",
}
_PART = regex(r'"(?:[^"]|"")+"|[^".]+')


@dataclass(frozen=True, slots=True)
class Chosen:
    """The sections of each table's rows, in the dump's order; *news* is what is left out."""

    sections: dict[TableName, list[Section]]
    news: tuple[str, ...]


def choose(
    repo: Repository,
    snapshot: Snapshot,
    snapshot_id: SnapshotId,
    definitions: Definitions,
    wanted: tuple[TableName, ...],
    *,
    merge: bool,
) -> Chosen:
    """Return the sections of *wanted* and their partitions, or of all tables if there are none.
    With *merge* those of partitions belong to the topmost table that is wanted. Raises
    UnknownRevision, UsageError for a table without rows of its own, UnusableInput."""
    check_tables_known(repo, snapshot, snapshot_id, wanted)
    found = sections_of_rows(repo, snapshot, definitions)
    parents = partitions_below(
        definitions, wanted or [e.table for e in definitions.pre if e.table is not None]
    )
    chosen: dict[TableName, list[Section]] = {}
    for table, sections in found.items():
        if wanted and table not in parents:
            continue
        _refuse_inserts(table, sections)
        chosen.setdefault(_topmost(table, parents) if merge else table, []).extend(sections)
    foreign = {e.table for e in definitions.pre if e.type == "FOREIGN TABLE"}
    for table in wanted:
        if table in foreign:
            raise UsageError(f"{shown(table)} is a foreign table: its rows are elsewhere")
    if not chosen:
        raise UsageError("there are no rows to export", hint="Its definitions: snap cat REV")
    return Chosen(chosen, () if wanted else tuple(_left_out(definitions, repo, snapshot)))


def shape_of(
    table: TableName, section: Section, head: bytes, types: ColumnTypes, snapshot: Snapshot
) -> Shape:
    """Return the columns of a section's rows, as its COPY statement names them."""
    encoding = snapshot.origin.client_encoding
    names = copied_columns(head, encoding)
    if names is None and head.rstrip().endswith(b"  FROM stdin;"):
        # That is how pg_dump copies a table without columns.
        names = ()
    if names is None:
        raise UnusableInput(
            f"the rows of {shown(table)} do not begin with a COPY statement of pg_dump",
            hint="Restore the snapshot, and commit what was restored.",
        )
    known = {**types.of((section.name.schema, section.name.name)), **types.of(table)}
    columns = (Column(name, known.get(name, ColumnType(""))) for name in names)
    return Shape(table, tuple(columns), encoding or "UTF8")


def reordered(blocks: Iterable[bytes], shape: Shape, found: Shape) -> Iterator[bytes]:
    """Yield rows with the columns of *found* in the order of *shape*: a partition may have them in
    another order than its table."""
    places = {column.name: at for at, column in enumerate(found.columns)}
    if places.keys() != {column.name for column in shape.columns}:
        raise CorruptionError(f"the partitions of {shape.shown} have different columns")
    order = [places[column.name] for column in shape.columns]
    for block in blocks:
        rows = (row.split(b"\t") for row in block.split(b"\n")[:-1])
        yield b"".join(b"\t".join([row[at] for at in order]) + b"\n" for row in rows)


def check_as_text(
    types: ColumnTypes, definitions: Definitions, chosen: Chosen, wishes: Wishes
) -> None:
    """Raise UsageError for a column of `--as-text` that no table of the export has."""
    known = {
        full_name(Shape(table, (), ""), Column(name, kind))
        for table in {*chosen.sections, *(e.table for e in definitions.pre if e.table)}
        for name, kind in types.of(table).items()
    }
    for name in wishes.as_text:
        if name not in known:
            raise UsageError(
                f"there is no column {name}",
                detail="It is written as in SQL, with its table: public.orders.total.",
                hint=did_you_mean(name, known, "See the definitions: snap cat REV"),
            )


def column_named(text: str) -> str:
    """Return the full name of a column that a user names as in SQL. Raises UsageError."""
    parts = _PART.findall(text)
    words = [p[1:-1].replace('""', '"') if p.startswith('"') else p.lower() for p in parts]
    if ".".join(parts) != text or len(words) not in (2, 3):
        raise UsageError(
            f'"{text}" is no name of a column',
            detail="It is written as in SQL, with its table: public.orders.total.",
        )
    schema, table, column = words if len(words) == 3 else ("public", *words)
    return full_name(Shape((schema, table), (), ""), Column(column, ColumnType("")))


def _topmost(table: TableName, parents: dict[TableName, TableName | None]) -> TableName:
    while (parent := parents.get(table)) is not None:
        table = parent
    return table


def _refuse_inserts(table: TableName, sections: Iterable[Section]) -> None:
    if any(section.rows is None for section in sections):
        raise UnusableInput(
            f"the rows of {shown(table)} are INSERT statements",
            detail="The snapshot was imported from a dump that was made with --inserts.",
            hint="Restore it, and commit what was restored.",
        )


def _left_out(definitions: Definitions, repo: Repository, snapshot: Snapshot) -> Iterator[str]:
    counts = Counter(_LEFT_OUT[e.type] for e in definitions.pre if e.type in _LEFT_OUT)
    counts["materialized view"] += sum(e.type == "MATERIALIZED VIEW" for e in definitions.post)
    words = [f"{count} {word}{'s' * (count > 1)}" for word, count in counts.items() if count]
    if any(one.name.kind is SectionKind.LARGE_OBJECTS for one in repo.sections(snapshot)):
        words.append("the large objects")
    if words:
        yield f"left out, as they have no rows of their own: {', '.join(words)}"
