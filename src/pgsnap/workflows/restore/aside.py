"""What of a dump is loaded beside its stream: the rows of larger tables, indexes, foreign keys."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING

from pgsnap.limits import ANY_ORDER_BYTES_MIN, ASIDE_BYTES_MIN
from pgsnap.model import DumpEvent, Section, SectionKind, SectionName, Snapshot
from pgsnap.progress import Progress
from pgsnap.repository.chunks.stream import section_events, stored_events
from pgsnap.repository.repository import Repository
from pgsnap.targets.load.definition_tasks import DefinitionTasks
from pgsnap.targets.load.feeder import Expected, expected_rows
from pgsnap.targets.load.row_order import Table, keep_order, tables_to_keep
from pgsnap.targets.load.tables_made import TablesMade
from pgsnap.targets.load.workers import StartFeeder, Task, Workers
from pgsnap.workflows.restore.any_order import SharedRows

if TYPE_CHECKING:
    from pgsnap.masking.events import Masking

# What may be loaded while tables are: none of it needs their rows, none of their rows needs it.
_WITH_ROWS = (SectionKind.DATA, SectionKind.SEQUENCES, SectionKind.LARGE_OBJECTS)


class Aside:
    """The parts of one dump that several psql load, beside the one that gets the rest of it.

    *sections* are those of the whole dump. There are no parts if that would not pay: with one job,
    or without any table of ASIDE_BYTES_MIN. *masking* is applied to rows that are loaded aside. If
    *any_order*, several psql share the rows of a table that is larger than the share of one job.
    """

    def __init__(
        self,
        repo: Repository,
        snapshot: Snapshot,
        sections: Iterable[Section],
        *,
        jobs: int,
        start: StartFeeder,
        progress: Progress,
        masking: Masking | None = None,
        any_order: bool = False,
    ) -> None:
        self._repo = repo
        self._snapshot = snapshot
        self._sections = sections
        self._masking = masking
        self._encoding = snapshot.origin.client_encoding
        self._partitioned: frozenset[Table] = frozenset()
        self.taken: set[SectionName] = set()
        self._large: list[tuple[Section, int]] = []
        if jobs > 1 and snapshot.origin.is_pg_dump:
            self._large = _large(sections)
        self._shared_bytes_min = self._share(jobs) if any_order else None
        self.in_any_order: list[Table] = []
        self.workers = Workers(start, lambda: self.definitions.preamble, jobs, progress)
        self.definitions = DefinitionTasks(
            self.workers.run, lambda table: table in self._partitioned, self._encoding
        )

    @property
    def is_worth_it(self) -> bool:
        return bool(self._large)

    def expected(self) -> Iterator[Expected]:
        """Yield the COPY sections of the rest of the dump, once it was sent."""
        return (each for each in expected_rows(self._sections) if each.section not in self.taken)

    def rest(
        self, sections: Iterable[Section], tables_made: Callable[[], TablesMade]
    ) -> Iterator[DumpEvent]:
        """Yield the events of *sections* but for the rows of large tables, which are loaded
        meanwhile, until the first section that may need them.

        *tables_made* is called when all tables were created. Raises what the load of a table
        raises.
        """
        is_begun = False
        for with_rows, group in groupby(sections, lambda each: each.name.kind in _WITH_ROWS):
            if not with_rows or is_begun:
                left = (section for section in group if section.name not in self.taken)
                yield from section_events(self._repo, self._snapshot, left)
                continue
            is_begun = True
            in_order: Collection[Table] = ()
            if not self.definitions.is_off:
                made = tables_made()
                self._partitioned, in_order = made.partitioned, made.in_order
                self._begin(made.empty - in_order)
            rows = self._left(group, in_order)
            for event in section_events(self._repo, self._snapshot, rows):
                self.workers.check()
                yield event
            self.workers.finish()

    def _left(self, sections: Iterable[Section], in_order: Collection[Table]) -> Iterator[Section]:
        for section in sections:
            if (section.name.schema, section.name.name) in in_order:
                self.workers.finish()
            if section.name not in self.taken:
                yield section

    def _begin(self, empty: Collection[Table]) -> None:
        tasks: list[Task] = []
        for section, head_bytes in self._large:
            table = section.name.schema, section.name.name
            if table not in empty or section.rows is None:
                continue
            self.taken.add(section.name)
            if self._is_shared(section):
                self.in_any_order.append(table)
                shared = SharedRows(section, stored_events(self._repo, (section,)))
                tasks += [shared.task() for _ in range(self.workers.jobs)]
                continue
            expected = (Expected(section.name, section.rows),)
            tasks.append(Task(partial(self._rows_of, section, table, head_bytes), expected))
        self.workers.begin(tasks)

    def _share(self, jobs: int) -> int:
        """Return from how many bytes on a table would keep the other jobs waiting."""
        whole = sum(section.plain_bytes for section, _ in self._large)
        return max(ANY_ORDER_BYTES_MIN, whole // jobs)

    def _is_shared(self, section: Section) -> bool:
        least = self._shared_bytes_min
        return least is not None and section.plain_bytes >= least

    def _rows_of(self, section: Section, table: Table, head_bytes: int) -> Iterator[DumpEvent]:
        events = stored_events(self._repo, (section,))
        if self._masking is not None:
            events = self._masking.passing(events)
        return keep_order(events, {table: head_bytes}, lambda: (table,), self._encoding)


def _large(sections: Iterable[Section]) -> list[tuple[Section, int]]:
    """Return the sections with many rows of a table that has all of them there, the largest first,
    each with the bytes before its rows."""
    heads = tables_to_keep(sections)
    found = [
        (section, heads[table])
        for section in sections
        if section.name.kind is SectionKind.DATA
        and section.plain_bytes >= ASIDE_BYTES_MIN
        and (table := (section.name.schema, section.name.name)) in heads
    ]
    return sorted(found, key=lambda each: -each[0].plain_bytes)
