"""What of each table is read: nothing, changed blocks, or all of it, and why."""

from __future__ import annotations

import enum
import secrets
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import field, replace

from pgsnap.limits import BLOCK_TEXT_BYTES_MAX, CHANGED_SHARE_MAX, FULL_READS_LISTED_MAX
from pgsnap.model import (
    ChangeWay,
    FullRead,
    Reading,
    ReadMode,
    Section,
    SectionKind,
    SectionName,
)
from pgsnap.sources.changes.comparing import MOSTLY_CHANGED
from pgsnap.sources.changes.moment import Moment
from pgsnap.sources.changes.verdicts import Changed, Full, Unchanged
from pgsnap.sources.direct.tables import Table
from pgsnap.sources.former import Former
from pgsnap.values import dataclass

_LARGE_OBJECT_OID = 2613
_HAS_LARGE_OBJECTS = "SELECT EXISTS (SELECT FROM pg_catalog.pg_largeobject_metadata)"
_NOT_THERE = "the former snapshot does not have it"
# Without these a dump has no definitions to keep.
_ALWAYS = frozenset({SectionKind.PREAMBLE, SectionKind.TRAILER})
# So many blocks are read again at one place.
_PROBE_BLOCKS = 64


class Choice(enum.Enum):
    """What is read of a table."""

    KEPT = enum.auto()
    CHANGED = enum.auto()
    FULL = enum.auto()


@dataclass(frozen=True, slots=True)
class TableChoice:
    """What is read of a table, and the *reason* if it is all: *blocks* of its *total_blocks*, else;
    of a table that is kept they are only to be compared. *section* is the former one, if that is
    kept or changed; *claim*, if the new one, read as a whole, has to be equal."""

    table: Table
    name: SectionName
    choice: Choice
    total_blocks: int
    reason: str = ""
    blocks: array[int] = field(default_factory=lambda: array("I"))
    section: Section | None = None
    claim: Section | None = None


class Choices:
    """What is read of *tables*, which are in pg_dump's order, at a *moment*."""

    def __init__(self, tables: Sequence[Table], moment: Moment, former: Former | None) -> None:
        self._moment = moment
        self._former = former
        self._blocks = {state.oid: state.blocks for state in moment.tables}
        self._old_names: dict[int, tuple[str, str]] = {}
        if former is not None:
            self._old_names = {
                state.oid: (state.schema, state.name) for state in former.baseline.tables
            }
        parts: Counter[tuple[str, str]] = Counter()
        self.tables: list[TableChoice] = []
        for table in tables:
            key = (table.schema, table.name)
            name = SectionName(SectionKind.DATA, *key, parts[key])
            self.tables.append(self._choose(table, name))
            parts[key] += 1
        self.definitions_are_kept = self._may_keep_definitions()
        if former is not None and not former.claims:
            self._choose_probes(former.probes)

    @property
    def to_read(self) -> list[Table]:
        """The tables of which something is read."""
        return [
            each.table for each in self.tables if each.choice is Choice.FULL or len(each.blocks)
        ]

    def read_in_full(self, chosen: TableChoice, reason: str) -> None:
        """Note that a table is read as a whole after all."""
        self.tables[self.tables.index(chosen)] = replace(
            chosen, choice=Choice.FULL, reason=reason, section=None
        )

    def reading(self) -> Reading:
        """Return what the manifest says about it."""
        full = [each for each in self.tables if each.choice is Choice.FULL]
        method = self._moment.way.method
        is_part = len(full) < len(self.tables) or self.definitions_are_kept
        listed = [each for each in full if each.reason and each.reason != _NOT_THERE]
        return Reading(
            mode=ReadMode.CHANGED if is_part else ReadMode.FULL,
            way=ChangeWay(method.value) if method is not None and is_part else None,
            blocks_read=sum(
                each.total_blocks if each.choice is Choice.FULL else len(each.blocks)
                for each in self.tables
            ),
            blocks=sum(each.total_blocks for each in self.tables),
            full_reads=tuple(
                FullRead(each.table.schema, each.table.name, each.reason)
                for each in listed[:FULL_READS_LISTED_MAX]
            ),
            full_read_count=len(listed),
        )

    def _choose(self, table: Table, name: SectionName) -> TableChoice:
        whole = TableChoice(table, name, Choice.FULL, self._blocks.get(table.oid, 0))
        former = self._former
        if former is None:
            return whole
        verdict = self._moment.verdicts.get(table.oid, Full("nothing is known of its changes"))
        section, why_not = self._comparable(former, table, name)
        if section is None:
            return replace(whole, reason=why_not)
        if isinstance(verdict, Full):
            return replace(whole, reason=verdict.reason)
        if former.claims:
            claim = section if isinstance(verdict, Unchanged) else None
            return replace(whole, reason="everything is read", claim=claim)
        if isinstance(verdict, Unchanged):
            return replace(whole, choice=Choice.KEPT, section=section)
        if self._has_large_rows(section):
            return replace(whole, reason="some rows are too large to be read block by block")
        return _of_changed(whole, section, verdict)

    def _has_large_rows(self, section: Section | None) -> bool:
        """Return whether a block's text takes more memory than it may."""
        if self._former is None or section is None:
            return False
        return self._former.largest_block(section) > BLOCK_TEXT_BYTES_MAX

    def _comparable(
        self, former: Former, table: Table, name: SectionName
    ) -> tuple[Section | None, str]:
        """Return the former section of *table*, or why it cannot be compared with."""
        if table.condition:
            return None, "only the rows that a condition selects are in the dump"
        old, section = self._old_names.get(table.oid), former.sections.get(name)
        if old is None or section is None or section.rows is None:
            return None, _NOT_THERE
        if name in former.lost:
            return None, "what is stored of it is damaged"
        if old != (table.schema, table.name) or former.head(section) != table.head:
            return None, "its name, owner or columns were changed"
        return section, ""

    def _may_keep_definitions(self) -> bool:
        former, moment = self._former, self._moment
        if former is None or former.claims or not moment.fingerprint_equal:
            return False
        if any(name.kind is not SectionKind.DATA for name in former.lost):
            return False
        kinds = {name.kind for name in former.sections}
        if not kinds >= _ALWAYS:
            return False
        if SectionKind.LARGE_OBJECTS in kinds:
            if not isinstance(moment.verdicts.get(_LARGE_OBJECT_OID), Unchanged):
                return False
        elif moment.session.query(_HAS_LARGE_OBJECTS)[0][0] == "t":
            return False
        names = [name for name in former.sections if name.kind is SectionKind.DATA]
        return names == [each.name for each in self.tables]

    def _choose_probes(self, count: int) -> None:
        """Let some blocks at random places be read again, though they are taken as unchanged."""
        random = secrets.SystemRandom()
        open_to_it = [
            number
            for number, each in enumerate(self.tables)
            if each.choice is Choice.KEPT and each.total_blocks
            if each.section is not None and each.section.block_map is not None
        ]
        if not open_to_it:
            return
        weights = [self.tables[number].total_blocks for number in open_to_it]
        for number in set(random.choices(open_to_it, weights, k=count)):
            each = self.tables[number]
            if self._has_large_rows(each.section):
                continue
            first = random.randrange(each.total_blocks)
            last = min(first + _PROBE_BLOCKS, each.total_blocks)
            self.tables[number] = replace(each, blocks=array("I", range(first, last)))


def _of_changed(whole: TableChoice, section: Section, verdict: Changed) -> TableChoice:
    if section.block_map is None:
        return replace(whole, reason="it is not known which text came from which block")
    if len(verdict.blocks) > CHANGED_SHARE_MAX * verdict.total_blocks:
        return replace(whole, reason=MOSTLY_CHANGED)
    return replace(
        whole,
        choice=Choice.CHANGED,
        total_blocks=verdict.total_blocks,
        blocks=verdict.blocks,
        section=section,
    )
