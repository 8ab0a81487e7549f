"""What is known of a restore of single rows before it is carried out."""

from __future__ import annotations

from dataclasses import field

from pgsnap.dump.definitions.table_parts import TableName
from pgsnap.model import ServerInfo, SnapshotId
from pgsnap.sessions.base import Session
from pgsnap.targets.checks.preflight import Problem, refuse
from pgsnap.targets.tables.foreign_keys import ForeignKey
from pgsnap.targets.tables.rows_back import RowsTable
from pgsnap.values import dataclass

Keys = tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class RowsBackOptions:
    """The user's choices: rows of *table* that meet *condition*, else those with *keys*, or the
    keys as *typed*. With *delete* live rows of these are deleted that the snapshot
    lacks."""

    table: TableName
    condition: str | None
    keys: Keys = ()
    typed: tuple[str, ...] = ()
    delete: bool = False
    from_server: str | None = None


@dataclass(frozen=True, slots=True)
class ChangedValue:
    """A value of a column before and after; *too_long*: it is cut here."""

    column: str
    before: str | None
    after: str | None
    differs: bool
    too_long: bool


@dataclass(frozen=True, slots=True)
class ChangedRow:
    """A row that is added, changed or deleted."""

    change: str
    values: tuple[ChangedValue, ...]


@dataclass(frozen=True, slots=True)
class RowsBackPlan:
    """What will be done, for the user to review and confirm. *same* rows are in the live table as
    they are in the snapshot; *extra* ones meet the condition and are not in the snapshot: they are
    deleted, or stay. *rows* are the first ones that change."""

    snapshot_id: SnapshotId
    label: str
    host: str
    database: str
    server: ServerInfo
    options: RowsBackOptions
    key: tuple[str, ...] = ()
    added: int = 0
    changed: int = 0
    deleted: int = 0
    same: int = 0
    extra: int = 0
    rows: tuple[ChangedRow, ...] = ()
    locked: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    refusals: tuple[Problem, ...] = ()

    @property
    def changes(self) -> int:
        return self.added + self.changed + self.deleted

    @property
    def writes(self) -> tuple[str, ...]:
        """The statements that it takes."""
        counts = {"insert": self.added, "update": self.changed, "delete": self.deleted}
        return tuple(write for write, count in counts.items() if count)

    def check(self) -> None:
        """Raise TargetRefused with every reason that forbids this restore."""
        refuse(self.refusals, f"the restore of rows to {self.database}")


@dataclass(slots=True)
class Prepared:
    """A plan, and the session that holds what it is about. *changed* are the columns that differ,
    *referring* the foreign keys by which others may refer to what changes; *locked* are tables as
    SQL."""

    plan: RowsBackPlan
    session: Session
    table: RowsTable | None = None
    changed: tuple[str, ...] = ()
    referring: tuple[ForeignKey, ...] = ()
    locked: tuple[str, ...] = ()
    oid: int = 0
    keys: Keys = field(default=(), repr=False)
