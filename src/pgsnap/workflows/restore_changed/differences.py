"""What differs between the snapshot to go back to and one of the present state."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from pgsnap.dump.definitions.copy_text import copied_columns
from pgsnap.dump.definitions.table_parts import TableName
from pgsnap.limits import MIB
from pgsnap.model import DatabaseProperties, Section, SectionKind, SectionName, Snapshot, same_text
from pgsnap.repository.chunks.stream import read_head
from pgsnap.repository.repository import Repository
from pgsnap.targets.checks.preflight import Problem
from pgsnap.values import dataclass
from pgsnap.words import some
from pgsnap.workflows.contents.table_names import sequences_in
from pgsnap.workflows.diff.sections import SectionPair

if TYPE_CHECKING:
    from pgsnap.rows.difference import RowDifference

# Beyond so many rows that differ, or bytes of them, held in memory, a table is rewritten.
ROWS_MAX = 200_000
_BYTES_MAX = 96 * MIB
# Microseconds of the server's processor for each row, with a primary key, one more index and a
# foreign key to check: deleted or inserted by itself; of a whole table that is truncated and filled
# without its indexes.
_DELETED, _INSERTED, _FILLED = 15, 25, 5
# Of a table that is emptied and filled with its indexes, because others refer to it, each row costs
# as much as it does by itself; but no row has to be found.
_EMPTIED_SHARE = 0.9
# So much of its text a table may have lost, or got: comparing it takes half as long as filling it,
# so with more it is rewritten without.
_LOST_SHARE, _GOT_SHARE = 0.1, 0.2
# What a restore of rows can do without, or does not touch.
_APART = frozenset(
    {
        *(SectionKind.DATA, SectionKind.SEQUENCES, SectionKind.PREAMBLE, SectionKind.TRAILER),
        *(SectionKind.DATABASE, SectionKind.GLOBALS, SectionKind.STATISTICS),
        SectionKind.EXTENSION_SEQUENCES,
    }
)
SWAP = (
    "A swap can restore it, where a second database is filled and takes the place of this one:"
    " snap restore REV, without --changed-only"
)


@dataclass(frozen=True, slots=True)
class Different:
    """A table whose rows differ: its section in the snapshot to go back to, and *now*."""

    wanted: Section
    now: Section

    @property
    def table(self) -> TableName:
        return self.wanted.name.schema, self.wanted.name.name


@dataclass(frozen=True, slots=True)
class Differences:
    """What differs, and what forbids putting it back in place. *sequences* are the values to set,
    by name as SQL. *all_tables* are all whose rows are recorded."""

    tables: tuple[Different, ...]
    sequences: dict[str, tuple[int, bool]]
    all_tables: tuple[TableName, ...]
    problems: tuple[Problem, ...]

    @property
    def is_empty(self) -> bool:
        return not (self.tables or self.sequences)


def differences(repo: Repository, wanted: Snapshot, now: Snapshot) -> Differences:
    """Compare two snapshots of one database. Raises CorruptionError, StoreError."""
    old = {section.name: section for section in repo.sections(wanted)}
    new = {section.name: section for section in repo.sections(now)}
    tables = {name: section for name, section in old.items() if name.kind is SectionKind.DATA}
    different = [
        Different(section, new[name])
        for name, section in tables.items()
        if name in new and same_text(section, new[name]) is not True
    ]
    problems = [
        *_definitions(repo, old, new),
        *_beside(wanted, now),
        *_not_as_rows(different),
    ]
    before, after = sequences_in(repo, wanted), sequences_in(repo, now)
    return Differences(
        tuple(different),
        {name: value for name, value in before.items() if after.get(name) != value},
        tuple((name.schema, name.name) for name in tables),
        tuple(problems),
    )


def columns_of(repo: Repository, section: Section, encoding: str) -> tuple[str, ...]:
    """Return the columns in a section's COPY statement; none if it is not one of pg_dump's. Raises
    CorruptionError."""
    return copied_columns(read_head(repo.chunks, section), encoding) or ()


@dataclass(frozen=True, slots=True)
class RowChanges:
    """The rows, each with its line end, that have to go from a table, and that have to come."""

    gone: tuple[bytes, ...]
    lost: tuple[bytes, ...]


def surely_rewritten(different: Different) -> bool:
    """Return whether so much came or went that the table is rewritten, whatever rows differ."""
    wanted, now = different.wanted.plain_bytes, different.now.plain_bytes
    return now < (1 - _LOST_SHARE) * wanted or now > (1 + _GOT_SHARE) * wanted


def row_changes(
    repo: Repository,
    different: Different,
    rows_max: int = ROWS_MAX,
    *,
    is_referenced: bool = False,
) -> RowChanges | None:
    """Return the rows that differ, if they are at most *rows_max*, and to put them back one by one
    takes less time than to rewrite the table, to which others may refer. None: it is to be
    rewritten. Raises CorruptionError."""
    from pgsnap.rows.difference import RowDifference

    wanted, now = different.wanted, different.now
    if surely_rewritten(different) and not is_referenced:
        return None
    expected = 2 * max(_rows(wanted), _rows(now))
    with closing(RowDifference(None, keep_texts=True, rows_expected=expected)) as rows:
        SectionPair(repo.chunk_store, wanted, now, rows).compare()
        return few_changes(rows, different, rows_max, is_referenced=is_referenced)


def is_worth_while(lost: int, gone: int, different: Different, *, is_referenced: bool) -> bool:
    """Return whether to insert *lost* rows and to delete *gone* ones takes less time than to
    rewrite the table."""
    before, after = _rows(different.wanted), _rows(different.now)
    rewritten = (
        _EMPTIED_SHARE * (_DELETED * after + _INSERTED * before)
        if is_referenced
        else _FILLED * before
    )
    return _DELETED * gone + _INSERTED * lost <= rewritten


def few_changes(
    rows: RowDifference, different: Different, rows_max: int, *, is_referenced: bool = False
) -> RowChanges | None:
    """Return what *rows*, which were fed those of the snapshot to go back to first, found; None if
    it is more than `row_changes` may return."""
    counts = rows.finish()
    few = counts.removed + counts.added
    wanted, now = different.wanted, different.now
    # Of rows of the usual length.
    held_bytes = few * (wanted.plain_bytes + now.plain_bytes) / max(1, _rows(wanted) + _rows(now))
    if few > rows_max or held_bytes > _BYTES_MAX:
        return None
    if not is_worth_while(counts.removed, counts.added, different, is_referenced=is_referenced):
        return None
    gone: list[bytes] = []
    lost: list[bytes] = []
    for change in rows.changes(None):
        for side, found in ((change.before, lost), (change.after, gone)):
            if side is not None and side.text is None:
                return None
            if side is not None and side.text is not None:
                found.append(side.text.removesuffix(b"\n") + b"\n")
    return RowChanges(tuple(gone), tuple(lost))


def _rows(section: Section) -> int:
    return section.rows or 0


def _definitions(
    repo: Repository, old: dict[SectionName, Section], new: dict[SectionName, Section]
) -> Iterator[Problem]:
    changed = [
        name
        for name in {**old, **new}
        if name.kind not in _APART
        and not (name in old and name in new and same_text(old[name], new[name]) is True)
    ]
    kinds = {name.kind for name in changed}
    if SectionKind.LARGE_OBJECTS in kinds:
        yield Problem(
            "large objects differ from the snapshot's",
            detail="Only rows of tables and values of sequences are put back in place.",
            hint=SWAP,
        )
    if kinds - {SectionKind.LARGE_OBJECTS} or _tables(old) != _tables(new):
        yield Problem(
            "the definitions of the database are not those of the snapshot",
            detail="Something was created, altered or dropped since: snap diff shows what. Only"
            " rows are put back in place.",
            hint=SWAP,
        )


def _tables(sections: dict[SectionName, Section]) -> set[SectionName]:
    return {name for name in sections if name.kind is SectionKind.DATA}


def _beside(wanted: Snapshot, now: Snapshot) -> Iterator[Problem]:
    was, is_now = (each.origin.properties for each in (wanted, now))
    if was is None or is_now is None or _settled(was) != _settled(is_now):
        yield Problem(
            "the owner, rights, settings or extensions of the database are not the snapshot's",
            hint=SWAP,
        )
    if wanted.extension_sequences_root != now.extension_sequences_root:
        yield Problem("sequences of extensions are not at the snapshot's values", hint=SWAP)


def _settled(properties: DatabaseProperties) -> DatabaseProperties:
    """Return them without the size, and without the roles that objects belong to: the definitions
    say so, and the roles also count the schemas of temporary tables."""
    return replace(properties, size_bytes=0, roles=())


def _not_as_rows(different: list[Different]) -> Iterator[Problem]:
    odd = [
        str(each.wanted.name)
        for each in different
        if each.wanted.rows is None or each.now.rows is None or each.wanted.name.part
    ]
    if odd:
        yield Problem(
            f"rows are not written as one COPY of the table: {some(odd)}",
            hint=SWAP,
        )
