"""The tables that a restore of single tables creates, replaces and leaves beside."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from datetime import datetime

from pgsnap.dump.definitions.table_parts import Definitions, TableName, TableParts, table_parts
from pgsnap.dump.definitions.table_tree import partitions_below
from pgsnap.model import Section
from pgsnap.sessions.base import Session
from pgsnap.targets.tables.live import LiveTable, find_table, live_partitions
from pgsnap.targets.tables.swap import beside_name, replaced_name
from pgsnap.targets.tables.ties import Dependents, dependents_of
from pgsnap.values import dataclass


@dataclass(frozen=True, slots=True)
class TableOptions:
    """The user's choices. *beside* is the word after ``__`` in the names of the new tables.

    *replace*: they replace the live ones, with *check_keys* even if other tables' foreign keys
    refer to them, which are then validated again. *from_server*: also from a snapshot of this other
    server (LABEL@ID), if the live database has snapshots of its own.
    """

    tables: tuple[TableName, ...]
    beside: str
    replace: bool = False
    check_keys: bool = False
    allow_newer_client: bool = False
    from_server: str | None = None


@dataclass(frozen=True, slots=True)
class TablePlan:
    """One table: what it is created from, and what happens to the live one.

    *target* is the name of the new table; *kept* the new name of the one that it replaces, None if
    it replaces none. *sections* hold its rows. *parent* is the table of this restore that it is a
    partition of.
    """

    parts: TableParts = field(repr=False)
    target: TableName
    live: LiveTable | None
    kept: TableName | None
    dependents: Dependents
    sections: tuple[Section, ...]
    parent: TableName | None = None

    @property
    def rows(self) -> int:
        return sum(section.rows or 0 for section in self.sections)

    @property
    def plain_bytes(self) -> int:
        return sum(section.plain_bytes for section in self.sections)


@dataclass(frozen=True, slots=True)
class SetAside:
    """A live partition that the snapshot lacks: it stays with its replaced table, named *kept*."""

    live: LiveTable
    kept: TableName
    dependents: Dependents


def live_tables(session: Session, options: TableOptions) -> dict[TableName, LiveTable]:
    """Return the live tables to be replaced, and their partitions."""
    found: dict[TableName, LiveTable] = {}
    for name in options.tables if options.replace else ():
        table = find_table(session, name)
        if table is not None:
            found |= {each.name: each for each in (table, *live_partitions(session, table))}
    return found


def chosen_tables(
    session: Session,
    sections: Mapping[TableName, Sequence[Section]],
    definitions: Definitions,
    options: TableOptions,
    live: Mapping[TableName, LiveTable],
    now: datetime,
) -> tuple[TablePlan, ...]:
    """Return what is created from the snapshot: the named tables and their partitions."""
    replaced = [table.oid for table in live.values()]
    found: list[TablePlan] = []
    taken: set[TableName] = set()
    for name, parent in partitions_below(definitions, options.tables).items():
        parts = table_parts(definitions, name)
        assert parts is not None, "a dump makes a table before it makes it a partition"
        now_there = live.get(name)
        plan = TablePlan(
            parts=parts,
            target=name if options.replace else beside_name(name, options.beside, taken),
            live=now_there,
            kept=replaced_name(name, now, taken) if now_there is not None else None,
            dependents=dependents_of(session, now_there, replaced)
            if now_there is not None
            else Dependents(),
            sections=tuple(sections.get(name, ())),
            parent=parent,
        )
        taken |= {plan.target, plan.kept or plan.target}
        found.append(plan)
    return tuple(found)


def left_behind(
    session: Session,
    tables: Iterable[TablePlan],
    live: Mapping[TableName, LiveTable],
    now: datetime,
) -> tuple[SetAside, ...]:
    """Return the live partitions that get no replacement."""
    replaced = [table.oid for table in live.values()]
    taken = {name for table in tables for name in (table.target, table.kept) if name is not None}
    made = {table.parts.table for table in tables}
    found = []
    for name, table in live.items():
        if name not in made:
            kept = replaced_name(name, now, taken)
            taken.add(kept)
            found.append(SetAside(table, kept, dependents_of(session, table, replaced)))
    return tuple(found)
