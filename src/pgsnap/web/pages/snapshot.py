"""A snapshot: its facts, and what its tables cost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pgsnap.model import SectionKind, SectionName, Snapshot, SnapshotId
from pgsnap.repository.repository import Repository
from pgsnap.sources.extensions import left_behind
from pgsnap.sources.parts import left_out
from pgsnap.values import dataclass
from pgsnap.web.pages.base import Asked, Page
from pgsnap.web.pages.shown import qualified
from pgsnap.web.pages.treemap import Box, squarified
from pgsnap.words import number, plain, plural, short_id, size
from pgsnap.workflows.diff.report import TableName
from pgsnap.workflows.history.section_costs import section_costs
from pgsnap.workflows.history.stats import stats_by_table
from pgsnap.workflows.notes.verdicts import Drilled, drilled

TABLES_SHOWN = 100
_CELLS_MAX = 60
# What takes less than this part of the whole is drawn with the others.
_CELL_LEAST = 0.002
_SHADES = 4
# Listing sections, and what each costs, reads chunks: for these it is quick.
SECTIONS_AT_ONCE = 20_000
_COST_SECTIONS_AT_ONCE = 2_000
_COST_BYTES_AT_ONCE = 2_000_000_000
# Of each frame in the repository it is looked up which chunk it is of.
_COST_FRAMES_AT_ONCE = 20_000
WIDE, NARROW = Box(0, 0, 960, 320), Box(0, 0, 360, 420)
_NAME_HEIGHT, _CHARACTER_WIDTH, _MARGIN = 20, 7, 12
_CHARACTERS_LEAST = 8


@dataclass(frozen=True, slots=True)
class TableCost:
    """A table, with all its parts. *stored_bytes* and *new_bytes* are None where they were not
    counted."""

    table: TableName
    rows: int | None
    plain_bytes: int
    stored_bytes: int | None
    new_bytes: int | None

    @property
    def cost(self) -> int:
        return self.plain_bytes if self.stored_bytes is None else self.stored_bytes


@dataclass(frozen=True, slots=True)
class Cell:
    """A rectangle of the treemap: a table, or (None) all the others. *shade*: how much of it is new
    in this snapshot, from 0 to 4. *name* is as much of the name as fits."""

    table: TableName | None
    box: Box
    shade: int
    name: str
    amount: str
    words: str


@dataclass(frozen=True, slots=True)
class SnapshotData:
    """A snapshot. *has_parent*: its parent can be looked at; *newest*: of its label. *tables* are
    those shown, largest first, *start* the number of the first of *found* that match *find*. With
    *is_listed* false there are so many that they are listed only on demand; *is_counted*: their
    costs are known."""

    snapshot_id: SnapshotId
    snapshot: Snapshot
    tags: tuple[str, ...]
    drilled: Drilled | None
    has_parent: bool
    newest: SnapshotId
    tables: tuple[TableCost, ...]
    start: int
    found: int
    find: str
    wide: tuple[Cell, ...]
    narrow: tuple[Cell, ...]
    is_listed: bool
    is_counted: bool
    other_bytes: int

    @property
    def table_count(self) -> int:
        return self.snapshot.table_count

    @property
    def next(self) -> int | None:
        """The number of the first table of the next page, None if this is the last."""
        end = self.start + len(self.tables)
        return end if end < self.found else None

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """What else is known, as name and value."""
        origin = self.snapshot.origin
        server = origin.server.version if origin.server is not None else origin.dumped_from
        properties = origin.properties
        found = [
            ("Server", f"PostgreSQL {server}" if server else ""),
            ("From", origin.file_name or origin.host),
            ("Dumped by", origin.tool),
            ("Left out", left_out(origin)),
            ("Lacks", ", ".join(left_behind(origin))),
            ("Recorded by", self.snapshot.creator),
        ]
        if properties is not None:
            names = [f"{one.name} {one.version}" for one in properties.extensions]
            found.append(("Owner", properties.owner))
            found.append(("Encoding", properties.encoding))
            found.append(("Extensions", ", ".join(names)))
        return tuple((name, value) for name, value in found if value)


def page(asked: Asked) -> Page:
    return snapshot_page(
        asked.repo,
        asked.snapshot("id"),
        start=asked.number("start", 0),
        find=asked.value("find"),
        listed=bool(asked.value("list")),
        counted=bool(asked.value("costs")),
    )


def snapshot_page(
    repo: Repository,
    snapshot_id: SnapshotId,
    *,
    start: int = 0,
    find: str = "",
    limit: int = TABLES_SHOWN,
    listed: bool = False,
    counted: bool = False,
) -> Page:
    """Return the page of a snapshot with *limit* of its tables whose names contain *find*. Many are
    listed only if *listed*, and their costs in the repository looked up only if *counted*.

    Raises UnknownRevision, CorruptionError.
    """
    snapshot = repo.snapshot(snapshot_id)
    is_counted = counted or (
        snapshot.section_count <= _COST_SECTIONS_AT_ONCE
        and snapshot.plain_bytes <= _COST_BYTES_AT_ONCE
        and repo.frame_total() <= _COST_FRAMES_AT_ONCE
    )
    is_listed = is_counted or listed or snapshot.section_count <= SECTIONS_AT_ONCE
    costs: list[TableCost] = []
    if is_counted:
        costs = _counted(repo, snapshot_id, snapshot)
    elif is_listed:
        costs = _listed(repo, snapshot)
    with repo.many_reads():
        tags = repo.tags.by_snapshot(snapshot.database).get(snapshot_id, ())
        last = drilled(repo).get(snapshot_id)
    found = [one for one in costs if find.casefold() in ".".join(one.table).casefold()]
    data = SnapshotData(
        snapshot_id=snapshot_id,
        snapshot=snapshot,
        tags=tuple(tags),
        drilled=last,
        newest=next(iter(repo.newest(snapshot.database, 1)), snapshot_id),
        has_parent=snapshot.parent is not None and repo.has_snapshot(snapshot.parent),
        tables=tuple(found[start : start + limit]),
        start=start,
        found=len(found),
        find=find,
        wide=_cells(costs, WIDE),
        narrow=_cells(costs, NARROW),
        is_listed=is_listed,
        is_counted=is_counted,
        other_bytes=snapshot.plain_bytes - sum(one.plain_bytes for one in costs),
    )
    title = f"{short_id(snapshot_id)} of {snapshot.database}"
    return Page("snapshot.html", title, data, "databases")


def _counted(repo: Repository, snapshot_id: SnapshotId, snapshot: Snapshot) -> list[TableCost]:
    # What a table's chunks take, with the bases that they are stored against.
    usage = stats_by_table(repo, snapshot.database, snapshot_id=snapshot_id)
    stored = {one.name: one.stored_bytes for one in usage.tables if one.name is not None}
    return _by_cost(
        (one.name, one.rows, one.plain_bytes, stored.pop(_whole(one.name), 0), one.new_bytes)
        for one in section_costs(repo, snapshot)
    )


def _whole(name: SectionName) -> SectionName:
    """Return the name of a section without its part."""
    return SectionName(name.kind, name.schema, name.name)


def _listed(repo: Repository, snapshot: Snapshot) -> list[TableCost]:
    return _by_cost(
        (one.name, one.rows, one.plain_bytes, None, None) for one in repo.sections(snapshot)
    )


def _by_cost(
    sections: Iterable[tuple[SectionName, int | None, int, int | None, int | None]],
) -> list[TableCost]:
    """Return the tables of *sections*, each with all its parts, largest first."""
    found: dict[TableName, TableCost] = {}
    for name, rows, plain_bytes, stored, new in sections:
        if name.kind is not SectionKind.DATA:
            continue
        table = name.schema, name.name
        one = TableCost(table, rows, plain_bytes, stored, new)
        other = found.get(table)
        if other is not None:
            one = TableCost(
                table,
                _sum(other.rows, rows),
                other.plain_bytes + plain_bytes,
                _sum(other.stored_bytes, stored),
                _sum(other.new_bytes, new),
            )
        found[table] = one
    return sorted(found.values(), key=lambda one: (-one.cost, one.table))


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other


def _cells(costs: Sequence[TableCost], room: Box) -> tuple[Cell, ...]:
    """Return the treemap of tables, the largest first, in *room*."""
    total = sum(one.cost for one in costs)
    large = [one for one in costs[:_CELLS_MAX] if one.cost and one.cost >= total * _CELL_LEAST]
    others = total - sum(one.cost for one in large)
    boxes = squarified([*(one.cost for one in large), *([others] if others else [])], room)
    found = [_cell(one, box, total) for one, box in zip(large, boxes, strict=False)]
    if others:
        count = len(costs) - len(large)
        words = f"{plural(count, 'other table')}, {size(others)} in all"
        name, amount = _fitting((f"{number(count)} others",), size(others), boxes[-1])
        found.append(Cell(None, boxes[-1], 0, name, amount, words))
    return tuple(found)


def _cell(one: TableCost, box: Box, total: int) -> Cell:
    full = plain(qualified(one.table))
    rows = "" if one.rows is None else f", {plural(one.rows, 'row')}"
    part = f"{one.cost / total:.1%} of all tables"
    words = f"{full}: {size(one.cost)}, {part}{rows}"
    shade = 0
    if one.new_bytes is not None and one.cost:
        words += f", {size(one.new_bytes)} new in this snapshot"
        shade = min(-(-one.new_bytes * _SHADES // one.cost), _SHADES)
    name, amount = _fitting((full, plain(one.table[1])), size(one.cost), box)
    return Cell(one.table, box, shade, name, amount, words)


def _fitting(names: Sequence[str], amount: str, box: Box) -> tuple[str, str]:
    """Return the first of *names* that fits into *box*, else the beginning of the last, and the
    amount if that fits too; "" for what does not."""
    characters = int((box.width - _MARGIN) // _CHARACTER_WIDTH)
    name = next((one for one in names if len(one) <= characters), names[-1])
    if box.height < _NAME_HEIGHT or characters < min(len(name), _CHARACTERS_LEAST):
        return "", ""
    if len(name) > characters:
        name = name[: characters - 1] + "…"
    fits = box.height >= 2 * _NAME_HEIGHT and len(amount) <= characters
    return name, amount if fits else ""
