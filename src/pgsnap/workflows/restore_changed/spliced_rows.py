"""Which rows differ from a snapshot, seen while the present state is made of that snapshot.

A commit that reads only changed blocks has their former text and the new one in hand. If the former
is the snapshot to go back to, nothing has to be read again to know the rows to put back.
"""

from __future__ import annotations

from pgsnap.model import Section, SectionKind, SectionName, SnapshotId, same_text
from pgsnap.repository.repository import Repository
from pgsnap.repository.splicing.watching import TextSink
from pgsnap.workflows.restore_changed.differences import (
    ROWS_MAX,
    Different,
    RowChanges,
    few_changes,
)

# A row that only moved counts on both sides until the end; beyond, or if that is as many as the
# table has, it will be rewritten.
_ALONE_MAX = 2 * ROWS_MAX


class SplicedRows:
    """Watches a commit (`SpliceWatch`) for what differs from the snapshot *wanted*. Not
    thread-safe."""

    def __init__(self, repo: Repository, wanted: SnapshotId) -> None:
        self._repo = repo
        self._wanted = wanted
        self._tables: dict[SectionName, Section] | None = None
        self._begun: tuple[Section, _Sink] | None = None
        self._found: dict[SectionName, tuple[Different, RowChanges]] = {}

    def begin(self, former: Section) -> TextSink | None:
        self._end_begun()
        if self._tables is None:
            sections = self._repo.sections(self._repo.snapshot(self._wanted))
            self._tables = {each.name: each for each in sections if _is_whole_table(each)}
        wanted = self._tables.get(former.name)
        if wanted is None or same_text(wanted, former) is not True:
            return None
        self._begun = wanted, _Sink(wanted.rows or 0)
        return self._begun[1]

    def end(self, made: Section) -> None:
        if self._begun is None:
            return
        wanted, sink = self._begun
        different = Different(wanted, made)
        if sink.is_open and (changes := few_changes(sink.rows, different, ROWS_MAX)) is not None:
            self._found[made.name] = different, changes
        self._end_begun()

    def of(self, different: Different) -> RowChanges | None:
        """Return the rows that differ, as `row_changes` does; None if they were not seen."""
        seen = self._found.get(different.wanted.name)
        if seen is None or not all(
            same_text(*sections) is True
            for sections in (
                (seen[0].wanted, different.wanted),
                (seen[0].now, different.now),
            )
        ):
            return None
        return seen[1]

    def _end_begun(self) -> None:
        if self._begun is not None:
            self._begun[1].close()
            self._begun = None


def _is_whole_table(section: Section) -> bool:
    return (
        section.name.kind is SectionKind.DATA and section.rows is not None and not section.name.part
    )


class _Sink:
    """Takes text while not too many rows differ."""

    def __init__(self, rows: int) -> None:
        # Late: it takes NumPy, and where nothing changed nothing is spliced.
        from pgsnap.rows.difference import RowDifference

        self._alone_max = min(_ALONE_MAX, rows)
        self.rows = RowDifference(None, keep_texts=True, rows_expected=2 * rows)
        self.is_open = True

    def feed(self, side: int, block: bytes) -> None:
        if self.is_open:
            self.rows.feed(side, block)
            if self.rows.rows_alone > self._alone_max:
                self.close()

    def close(self) -> None:
        self.is_open = False
        self.rows.close()
