"""Compares a restored snapshot, dumped again, with the original, section by section.

Rows: equal bytes of every table's section; otherwise both sides as multisets of rows, which
distinguishes changed order from changed rows. Definitions: equal bytes; otherwise the same entries,
where those that came back with different text must be stable: restored and dumped once more, they
no longer change (docs/cli.md, "snap drill").
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pgsnap.dump.definitions.bound_extension import BoundExtension
from pgsnap.dump.definitions.copy_text import values
from pgsnap.dump.entries import decode
from pgsnap.errors import Interrupted, SnapError
from pgsnap.model import (
    DatabaseProperties,
    Finding,
    Origin,
    SectionKind,
    SnapshotId,
    SourceKind,
    Verdict,
    quote_ident,
)
from pgsnap.progress import SILENT, Progress
from pgsnap.repository.repository import Repository
from pgsnap.sessions.server import Server
from pgsnap.sources.postgres import PostgresSource
from pgsnap.targets.checks.requirements import source_major
from pgsnap.targets.load.hashed_rows import chosen_anew
from pgsnap.values import dataclass
from pgsnap.words import plural, size
from pgsnap.workflows.diff.diff import diff, diff_rows
from pgsnap.workflows.diff.report import DiffReport, TableDiff, TableName
from pgsnap.workflows.drill.extensions import added_members, not_proven, without_left_out
from pgsnap.workflows.drill.fixed_point import unstable_definitions
from pgsnap.workflows.drill.report import (
    RowFinding,
    TableFinding,
    failed,
    passed,
    skipped,
)
from pgsnap.workflows.drill.values import compare_values

if TYPE_CHECKING:
    from pgsnap.rows.difference import RowChange
    from pgsnap.workflows.diff.rows import TableRows

_TABLES_MAX = 10
_ROWS_MAX = 10
_TITLES_MAX = 10
_TEXT_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Comparison:
    """The result of each check of drill_report.OF_COPY, the tables that differ, and what none of
    the checks covers."""

    outcomes: dict[str, Finding]
    tables: tuple[TableFinding, ...]
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Copy:
    """The database that *origin*'s snapshot was restored to. *token* is that of the drill's own
    session, which marks it as in use. The extensions *left_out* cannot be created in it.
    *originals* are the databases of the same server that hold, or held, the snapshot's contents;
    empty if they must not be read."""

    server: Server
    name: str
    token: str
    allow_newer: bool
    origin: Origin
    left_out: tuple[BoundExtension, ...] = ()
    originals: tuple[str, ...] = ()


def compare(
    repo: Repository, snapshot_id: SnapshotId, copy: Copy, progress: Progress = SILENT
) -> Comparison:
    """Dump *copy* and compare it with the snapshot. Nothing is stored. Raises what a dump raises,
    and CorruptionError."""
    with copy.server.connect(copy.name) as session:
        together = chosen_anew(session)
    report = without_left_out(
        diff(repo, snapshot_id, _source(copy), together=together, progress=progress),
        copy.left_out,
    )
    found = _tables(repo, snapshot_id, copy, report)
    why_not = _not_comparable(report, copy.server)
    outcomes = {
        "contents": _contents(report, found, why_not),
        "schema": _schema(report, copy, snapshot_id, why_not),
        "extensions": _extensions(report, copy.left_out),
        "sequences": _sequences(report),
        "large-objects": _large_objects(report, why_not),
    }
    values = compare_values(copy.server, copy.name, copy.originals)
    if values.rounded and outcomes["contents"].verdict is Verdict.PASSED:
        outcomes["contents"] = values.outcome()
    added = added_members(copy.server, copy.name, copy.originals)
    notices = (*not_proven(report, copy.left_out), *added, *values.notices)
    return Comparison(outcomes, tuple(found), notices)


def _source(copy: Copy, *options: str) -> PostgresSource:
    return PostgresSource(
        copy.server,
        database=copy.name,
        allow_newer_client=copy.allow_newer,
        with_globals=False,
        dump_options=options,
        # A partial snapshot is compared with the same part.
        exclude_table_data=copy.origin.excluded_table_data,
        only_schemas=copy.origin.only_schemas if not options else (),
    )


def _not_comparable(report: DiffReport, server: Server) -> str:
    """Return why equal definitions may have different text, "" if they must not."""
    origin = report.before.origin
    if origin.kind is SourceKind.FILE:
        return "the snapshot is of a file, which may have been dumped with other settings"
    major, here = source_major(origin), server.version_num // 10000
    if major != here:
        return f"the snapshot comes from PostgreSQL {major}, the server is {here}"
    return ""


# -- rows ------------------------------------------------------------------------------------------


def _tables(
    repo: Repository, snapshot_id: SnapshotId, copy: Copy, report: DiffReport
) -> list[TableFinding]:
    left = _ROWS_MAX
    found: list[TableFinding] = []
    for table in report.tables:
        if not _differs(table):
            continue
        rows: tuple[RowFinding, ...] = ()
        if left and len(found) < _TABLES_MAX and table.removed is not None:
            rows = tuple(_rows(repo, snapshot_id, copy, table.table, left))
            left -= len(rows)
        found.append(
            TableFinding(
                _shown(table.table),
                table.rows_before,
                table.rows_after,
                table.removed,
                table.added,
                table.changed,
                rows,
            )
        )
    return found


def _differs(table: TableDiff) -> bool:
    if not table.in_before:
        # A table whose rows are not in the snapshot is restored empty.
        return bool(table.rows_after)
    return not table.in_after or table.rows_differ


def _shown(table: TableName) -> str:
    return ".".join(quote_ident(part) for part in table if part)


def _rows(
    repo: Repository, snapshot_id: SnapshotId, copy: Copy, table: TableName, limit: int
) -> Iterator[RowFinding]:
    """Yield the first rows of a table that differ, from another dump of this table only."""
    quoted = ['"' + part.replace('"', '""') + '"' for part in table]
    source = _source(copy, f"--table={'.'.join(quoted)}")
    try:
        with diff_rows(repo, snapshot_id, source, _shown(table)) as rows:
            for change in rows.changes(limit):
                yield _row(change, rows)
    except Interrupted:
        raise
    except SnapError as error:
        yield RowFinding("unknown", {}, (), f"the rows cannot be shown: {error.message}")


def _row(change: RowChange, rows: TableRows) -> RowFinding:
    sides = []
    for row, columns, encoding in zip(
        (change.before, change.after), rows.columns, rows.encodings, strict=True
    ):
        fields: list[str | None] = []
        if row is not None and row.text is not None:
            fields = [None if v is None else decode(v, encoding) for v in values(row.text)]
        sides.append(dict(zip(columns or (), fields, strict=False)))
    before, after = sides
    kind = "added" if change.before is None else "removed" if change.after is None else "changed"
    there = before if kind == "removed" else after
    if rows.key and set(rows.key) <= there.keys():
        differ: tuple[str, ...] = ()
        if kind == "changed":
            differ = tuple(
                name
                for name in dict.fromkeys([*before, *after])
                if (name in before, before.get(name)) != (name in after, after.get(name))
            )
        return RowFinding(kind, {name: there[name] for name in rows.key}, differ, "")
    row = change.before or change.after
    text = row.text if row is not None else None
    if text is None:
        return RowFinding(kind, {}, (), "a row too long to be shown")
    shown = decode(text, rows.encodings[0 if kind == "removed" else 1])
    return RowFinding(kind, {}, (), shown.rstrip("\n")[:_TEXT_CHARACTERS])


def _contents(report: DiffReport, found: list[TableFinding], why_not: str) -> Finding:
    sections = report.before.tables
    rows = sum(s.rows or 0 for parts in sections.values() for s in parts)
    how = "order, or are written otherwise by this version" if why_not else "order"
    reordered = [
        f"the rows of {_shown(t.table)} came back in another {how}"
        for t in report.tables
        if t.reordered and t.bytes_before and not _differs(t)
    ]
    if not found:
        total = size(report.before.size(SectionKind.DATA))
        words = f"{plural(len(sections), 'table')}, {plural(rows, 'row')}, {total} are equal"
        return passed(words, *reordered)
    lines = [line for table in found for line in table_lines(table)]
    names = ", ".join(table.table for table in found[:_TABLES_MAX])
    words = f"rows differ in {len(found)} of {plural(len(sections), 'table')}: {names}"
    if report.before.origin.kind is SourceKind.FILE and all(
        table.rows_snapshot in (None, table.rows_restored) for table in found
    ):
        # The text of a value depends on settings that are unknown for a file's dump.
        return skipped(
            f"{words}; the snapshot is of a file, which may have been dumped with other settings",
            *lines,
        )
    return failed(words, *lines, hint="See them all: snap restore REV --to NEW, then snap diff")


def table_lines(table: TableFinding) -> Iterator[str]:
    """Yield a table's differences and its first differing rows as text for the user."""
    counts = (
        (table.removed, "not restored"),
        (table.added, "too many"),
        (table.changed, "changed"),
    )
    words = [f"{count:,} {what}" for count, what in counts if count]
    if not words:
        words = [f"{table.rows_snapshot} rows in the snapshot, {table.rows_restored} restored"]
    yield f"{table.table}: rows {', '.join(words)}"
    for row in table.rows:
        if row.key:
            text = ", ".join(f"{k}={'NULL' if v is None else v}" for k, v in row.key.items())
            text += f" ({', '.join(row.columns)})" if row.columns else ""
        else:
            text = row.text
        yield f"  {row.change}: {text}"


# -- definitions -----------------------------------------------------------------------------------


def _schema(report: DiffReport, copy: Copy, snapshot_id: SnapshotId, why_not: str) -> Finding:
    kinds = (SectionKind.PRE_DATA, SectionKind.POST_DATA)
    if not report.definitions:
        total = sum(report.before.size(kind) for kind in kinds)
        return passed(f"{size(total)} of definitions are equal")
    if why_not:
        return skipped(
            f"{plural(len(report.definitions), 'definition')} with another text; {why_not}",
            *[e.title for e in report.definitions[:_TITLES_MAX]],
        )
    missing = [e.title for e in report.definitions if e.after is None]
    extra = [e.title for e in report.definitions if e.before is None]
    if missing or extra:
        names = ", ".join([*missing, *extra][:_TITLES_MAX])
        lines = [f"not restored: {title}" for title in missing[:_TITLES_MAX]]
        lines += [f"not in the snapshot: {title}" for title in extra[:_TITLES_MAX]]
        return failed(
            f"differences in {plural(len(missing) + len(extra), 'definition')}: {names}", *lines
        )
    titles = [e.title for e in report.definitions]
    unstable = unstable_definitions(
        copy.server,
        copy.name,
        copy.token,
        copy.origin,
        snapshot=snapshot_id.hex(),
        allow_newer=copy.allow_newer,
    )
    if unstable:
        return failed(
            f"{plural(len(unstable), 'definition')} with another text after every restore: "
            + ", ".join(unstable[:_TITLES_MAX]),
            *unstable[:_TITLES_MAX],
        )
    return passed(
        f"{plural(len(titles), 'definition')} came back in other words, which stay the same when"
        " restored once more; all others are equal",
        *titles[:_TITLES_MAX],
    )


def _extensions(report: DiffReport, left_out: Sequence[BoundExtension]) -> Finding:
    before, after = (_versions(v.origin.properties) for v in (report.before, report.after))
    if report.before.origin.only_schemas:
        return skipped("the snapshot is of some schemas only, and extensions belong to none")
    if before is None or after is None:
        return skipped("the snapshot is of a file, which does not name the versions")
    gone = {extension.name for extension in left_out}
    lines = []
    for name in sorted((before.keys() | after.keys()) - gone):
        was, now = before.get(name, "none"), after.get(name, "none")
        if was != now:
            lines.append(f"{name}: {was} in the snapshot, {now} restored")
    if lines:
        return failed(
            f"differences in {plural(len(lines), 'extension')}: {lines[0]}",
            *lines,
            hint="The server installs its newest version. In the live database: ALTER EXTENSION"
            " NAME UPDATE; then commit again.",
        )
    if gone:
        names = ", ".join(sorted(gone))
        return skipped(f"{names} cannot be made in a scratch database; all others are equal")
    return passed(
        ", ".join(f"{name} {words}" for name, words in before.items()) or "there are none"
    )


def _versions(properties: DatabaseProperties | None) -> dict[str, str] | None:
    if properties is None:
        return None
    return {e.name: f"{e.version} (in {e.schema})" for e in properties.extensions}


def _sequences(report: DiffReport) -> Finding:
    if report.sequences:
        lines = [
            f"{s.name}: {'none' if s.before is None else s.before} in the snapshot,"
            f" {'none' if s.after is None else s.after} restored"
            for s in report.sequences
        ]
        return failed(f"differences in {plural(len(lines), 'sequence')}: {lines[0]}", *lines)
    kinds = (SectionKind.SEQUENCES, SectionKind.EXTENSION_SEQUENCES)
    if not any(report.before.digest(kind) for kind in kinds):
        return passed("there are none")
    return passed("their values are equal")


def _large_objects(report: DiffReport, why_not: str) -> Finding:
    kind = SectionKind.LARGE_OBJECTS
    if not report.large_objects_changed:
        total = report.before.size(kind)
        return passed(f"{size(total)} are equal" if total else "there are none")
    words = (
        f"they differ: {report.before.size(kind):,} bytes in the snapshot,"
        f" {report.after.size(kind):,} bytes restored"
    )
    return skipped(f"{words}; {why_not}") if why_not else failed(words)
