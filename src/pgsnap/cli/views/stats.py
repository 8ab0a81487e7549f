"""The pages and the JSON of `snap stats`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pgsnap.cli.text import render
from pgsnap.cli.views.snapshot import tag_words

if TYPE_CHECKING:
    from pgsnap.cli.console.console import Console
    from pgsnap.cli.wiring.remotes import RemoteSize
    from pgsnap.model import SectionName, SnapshotId
    from pgsnap.workflows.history.stats import SnapshotUsage, StatsReport, TablesReport

BLOCKS = "▏▎▍▌▋▊▉█"
_CELLS = 16
_SHOWN = 20
_LISTS = "(lists of sections)"


class Bars:
    """Bars of blocks in eighths of a cell, or of ``#`` if the terminal cannot show blocks."""

    def __init__(self, blocks: bool) -> None:
        self._blocks = blocks

    def bar(self, amount: int, most: int) -> str:
        """Return a bar for the ratio of *amount* to *most*; not empty unless *amount* is 0."""
        if amount <= 0 or most <= 0:
            return ""
        eighths = max(1, round(_CELLS * len(BLOCKS) * min(amount, most) / most))
        if not self._blocks:
            return "#" * max(1, round(eighths / len(BLOCKS)))
        whole, rest = divmod(eighths, len(BLOCKS))
        return BLOCKS[-1] * whole + (BLOCKS[rest - 1] if rest else "")


def tell_missing(console: Console, missing: int) -> None:
    """Warn that sums are too small if chunks are missing."""
    if missing:
        chunks = render.plural(missing, "chunk")
        console.tell(f"warning: {chunks} in no sound pack, not counted; run: snap verify")


# -- the whole repository ----------------------------------------------------------------------


def stats_fields(report: StatsReport, rows: Sequence[SnapshotUsage]) -> dict[str, Any]:
    """Return the --json fields of the repository."""
    files = report.footprint
    return {
        "snapshots": len(report.snapshots),
        **render.fields_of(
            report, footprint="", snapshots="", table_bytes="pack_table_bytes", missing=""
        ),
        "total_bytes": files.total,
        "stored_bytes": files.packs,
        "index_bytes": files.index,
        "manifest_bytes": files.manifests,
        "note_bytes": files.notes,
        "tag_bytes": files.tags,
        "other_bytes": files.other,
        "dedup_ratio": _ratio(report.raw_bytes, report.unique_bytes),
        "total_ratio": _ratio(report.raw_bytes, files.total),
        "per_snapshot": [
            {
                "id": row.snapshot_id,
                "database": row.snapshot.database,
                "tags": row.tags,
                "time": row.snapshot.time,
                "forgotten": row.is_forgotten,
                "bytes": row.snapshot.plain_bytes,
                "new_bytes": row.snapshot.stored_bytes,
                "freed_bytes": row.freed_bytes,
            }
            for row in rows
        ],
    }


def remote_fields(sizes: Sequence[RemoteSize]) -> list[dict[str, Any]]:
    return [
        {
            "name": one.name,
            "url": one.url,
            "total_bytes": one.footprint.total if one.footprint is not None else None,
            "stored_bytes": one.footprint.packs if one.footprint is not None else None,
            "error": one.error or None,
        }
        for one in sizes
    ]


def remote_lines(sizes: Sequence[RemoteSize]) -> list[str]:
    """Return the table of remotes; nothing if there is none."""
    rows = [
        (
            one.name,
            render.size(one.footprint.total) if one.footprint is not None else "?",
            render.plain(one.error or one.url),
        )
        for one in sizes
    ]
    if not rows:
        return []
    return ["", *render.columns([("REMOTE", "SIZE", ""), *rows], right=frozenset({1}))]


def stats_lines(
    report: StatsReport,
    rows: Sequence[SnapshotUsage],
    bars: Bars,
    *,
    now: datetime,
    every: bool,
) -> list[str]:
    """Return the page of `snap stats`."""
    lines = [*_totals(report, bars), ""]
    lines += [*_databases(report, bars), ""] if report.databases else []
    return [*lines, *_snapshots(rows, bars, now=now, every=every)] if rows else lines


def _totals(report: StatsReport, bars: Bars) -> list[str]:
    files = report.footprint
    parts = [
        ("  data", report.data_bytes),
        ("  lists of chunks", report.list_bytes),
        ("  tables of packs", report.table_bytes),
        ("  index", files.index),
        ("  manifests", files.manifests),
        ("  notes", files.notes),
        ("  tags", files.tags),
        ("  other files", files.other),
    ]
    rows = [
        ("All dumps", render.size(report.raw_bytes), ""),
        ("Distinct data", render.size(report.unique_bytes), _times(report, report.unique_bytes)),
        ("Repository", render.size(files.total), _times(report, files.total)),
        *((name, render.size(size), bars.bar(size, files.total)) for name, size in parts if size),
    ]
    if report.unneeded_bytes:
        rows.append(("Needed by none", render.size(report.unneeded_bytes), "a gc frees them"))
    return render.columns(rows, right=frozenset({1}))


def _times(report: StatsReport, size: int) -> str:
    ratio = _ratio(report.raw_bytes, size)
    return f"{ratio:.1f} times smaller" if ratio is not None and ratio >= 1.05 else ""


def _ratio(before: int, after: int) -> float | None:
    return round(before / after, 3) if after else None


def _databases(report: StatsReport, bars: Bars) -> list[str]:
    most = max(row.stored_bytes for row in report.databases)
    rows = [("DATABASE", "SNAPSHOTS", "DUMPS", "DISTINCT", "STORED", "OWN", "")]
    for row in report.databases:
        rows.append(
            (
                render.plain(row.database),
                render.number(row.snapshots),
                render.size(row.raw_bytes),
                render.size(row.unique_bytes),
                render.size(row.stored_bytes),
                render.size(row.own_bytes),
                bars.bar(row.stored_bytes, most),
            )
        )
    return render.columns(rows, right=frozenset(range(1, 6)))


def _snapshots(
    found: Sequence[SnapshotUsage], bars: Bars, *, now: datetime, every: bool
) -> list[str]:
    shown = found if every else found[:_SHOWN]
    most = max(row.freed_bytes for row in found)
    rows = [("SNAPSHOT", "DATABASE", "MADE", "DUMP", "NEW", "FREES", "", "")]
    for row in shown:
        rows.append(
            (
                render.short_id(row.snapshot_id),
                render.plain(row.snapshot.database),
                render.ago(row.snapshot.time, now),
                render.size(row.snapshot.plain_bytes),
                render.size(row.snapshot.stored_bytes),
                render.size(row.freed_bytes),
                bars.bar(row.freed_bytes, most),
                "(forgotten)" if row.is_forgotten else tag_words(row.tags),
            )
        )
    return [*render.columns(rows, right=frozenset({3, 4, 5})), *_more(found, shown, "snapshot")]


def _more(found: Sequence[object], shown: Sequence[object], noun: str) -> list[str]:
    hidden = len(found) - len(shown)
    return [f"and {render.plural(hidden, noun)} more (--all)"] if hidden else []


# -- by table ----------------------------------------------------------------------------------


def table_fields(report: TablesReport, chosen: SnapshotId | None) -> dict[str, Any]:
    """Return the --json fields of the tables of a database."""
    return {
        "database": report.database,
        "snapshot": chosen,
        "newest": report.newest,
        "snapshots": report.snapshots,
        "stored_bytes": report.stored_bytes,
        "tables": [
            {
                "name": _name(row.name),
                "kind": row.name.kind if row.name is not None else None,
                "schema": row.name.schema or None if row.name is not None else None,
                "table": row.name.name or None if row.name is not None else None,
                **render.fields_of(row, name="", plain_bytes="bytes"),
            }
            for row in report.tables
        ],
    }


def table_lines(report: TablesReport, bars: Bars, *, every: bool) -> list[str]:
    """Return the page of `snap stats --by-table`."""
    shown = report.tables if every else report.tables[:_SHOWN]
    most = max((row.stored_bytes for row in report.tables), default=0)
    rows = [("TABLE", "ROWS", "BYTES", "VERSIONS", "STORED", "SHARE", "")]
    for row in shown:
        share = 100 * row.stored_bytes / max(report.stored_bytes, 1)
        rows.append(
            (
                render.plain(_name(row.name)),
                render.number(row.rows) if row.rows is not None else "",
                render.size(row.plain_bytes) if row.plain_bytes is not None else "",
                render.number(row.versions) if row.versions else "",
                render.size(row.stored_bytes),
                f"{share:.1f} %",
                bars.bar(row.stored_bytes, most),
            )
        )
    title = (
        f"{render.plain(report.database)}: {render.size(report.stored_bytes)} for "
        f"{render.plural(report.snapshots, 'snapshot')}"
    )
    table = render.columns(rows, right=frozenset(range(1, 6)))
    return [title, "", *table, *_more(report.tables, shown, "table")]


def _name(name: SectionName | None) -> str:
    """Return a table as ``schema.table``, another section by its name."""
    return str(name).removeprefix("data ") if name is not None else _LISTS
