"""Plans to put single rows of a table back. The live table is read, and what would be written is
tried in a transaction that is rolled back.

The session stays open until the plan is carried out or given up: its temporary tables hold the rows
that were shown, so that it is these that are written, and no transaction is open meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from pgsnap.dump.definitions.copy_text import copied_columns, escaped
from pgsnap.dump.definitions.table_parts import Definitions, table_parts
from pgsnap.dump.definitions.table_tree import partitions_below
from pgsnap.dump.entries import encode
from pgsnap.errors import QueryFailed, TargetRefused, UsageError
from pgsnap.limits import ROWS_BACK_BYTES_MAX, ROWS_BACK_MAX
from pgsnap.model import Section, Snapshot, SnapshotId
from pgsnap.progress import SILENT, Progress
from pgsnap.repository.chunks.stream import read_head, section_text
from pgsnap.repository.repository import Repository
from pgsnap.sessions.base import Session, ident
from pgsnap.sessions.server import Server
from pgsnap.sources.properties import read_server
from pgsnap.targets.checks.connections import check_table_connections
from pgsnap.targets.checks.preflight import Findings, Problem, connected_role
from pgsnap.targets.naming import application_name, new_token
from pgsnap.targets.tables.condition import flaw_of
from pgsnap.targets.tables.live import LiveTable, find_table
from pgsnap.targets.tables.put_back import read_facts
from pgsnap.targets.tables.rows_back import (
    BEGIN_READING,
    RowsTable,
    ambiguous_keys,
    changed_keys,
    choose,
    compare,
    copy_all,
    copy_keys,
    count_changes,
    differing_columns,
    make_temporary,
    read_columns,
    read_composites,
    show_changes,
)
from pgsnap.words import number
from pgsnap.workflows.contents.table_names import check_known, read_definitions, shown
from pgsnap.workflows.contents.table_rows import sections_of_rows
from pgsnap.workflows.contents.trust import snapshot_to_run
from pgsnap.workflows.past.row_keys import parse_row_key
from pgsnap.workflows.restore.server_checks import check_servers
from pgsnap.workflows.restore.target import database_and_label
from pgsnap.workflows.restore_rows.checks import (
    beside,
    check_acting,
    check_columns,
    check_composites,
    check_key,
    check_referrers,
    check_table,
    not_accepted,
    published,
    referring_keys,
)
from pgsnap.workflows.restore_rows.model import (
    ChangedRow,
    ChangedValue,
    Prepared,
    RowsBackOptions,
    RowsBackPlan,
)
from pgsnap.workflows.restore_rows.write import NotAsShown, try_changes
from pgsnap.workflows.restore_tables.checks import check_left_out, check_snapshot
from pgsnap.workflows.restore_tables.needs import check_read_only_default

ROWS_SHOWN_MAX = 1000
CHARACTERS_SHOWN_MAX = 2000
# A result, and a row of a join, has at most 1,664 columns, and each takes four.
_COLUMNS_AT_ONCE = 400


@contextmanager
def planned_rows(
    repo: Repository,
    snapshot_id: SnapshotId,
    server: Server,
    options: RowsBackOptions,
    *,
    progress: Progress = SILENT,
) -> Iterator[Prepared]:
    """Yield what putting these rows back would do. Nothing is changed.

    Raises UsageError for a condition that the server does not take, UnknownRevision for a table
    that the snapshot lacks, ConnectionFailed, QueryFailed, CorruptionError. Everything else that
    forbids it is in the plan's refusals.
    """
    flaw = flaw_of(options.condition) if options.condition is not None else None
    if flaw is not None:
        raise UsageError(
            f"the condition cannot be used: {flaw}",
            detail=f"It is: {options.condition}",
            hint='It is one expression, as after WHERE: --rows "id in (1, 2)"',
        )
    snapshot = snapshot_to_run(repo, snapshot_id)
    database, label = database_and_label(repo, snapshot, server.endpoint, None)
    quiet = server.without_event_triggers()
    with quiet.connect(database, application_name(new_token())) as session:
        info = read_server(session)
        plan = RowsBackPlan(snapshot_id, label, server.endpoint.display(), database, info, options)
        me = connected_role(session)
        findings = check_snapshot(session, snapshot)
        findings += Findings(tuple(check_read_only_default(session, me, database)))
        findings += check_table_connections(session, me, database)
        findings += check_servers(repo, snapshot, server, database, info, options.from_server)
        yield _Planning(repo, snapshot, session, plan, progress).prepare(findings)


class _Planning:
    """Fills in a plan."""

    def __init__(
        self,
        repo: Repository,
        snapshot: Snapshot,
        session: Session,
        plan: RowsBackPlan,
        progress: Progress,
    ) -> None:
        self._repo = repo
        self._snapshot = snapshot
        self._session = session
        self._plan = plan
        self._progress = progress
        self._name = plan.options.table

    def prepare(self, findings: Findings) -> Prepared:
        done = Prepared(self._plan, self._session)
        definitions = read_definitions(self._repo, self._snapshot)
        check_known(definitions, self._plan.snapshot_id, [self._name])
        live = find_table(self._session, self._name)
        findings += Findings(
            tuple(check_table(self._session, self._plan.snapshot_id, self._name, live))
        )
        sections, left_out = self._sections(definitions)
        findings += Findings(tuple(left_out))
        if live is not None and not findings.problems:
            done.table, found = self._table(definitions, sections, live)
            findings += found
        if live is not None and done.table is not None and not findings.problems:
            self._load(done.table, sections)
            findings += self._compare(done.table)
            findings += Findings(warnings=published(self._session, live))
            if not findings.problems:
                findings += self._changes(done, live)
        done.plan = replace(self._plan, warnings=findings.warnings, refusals=findings.problems)
        return done

    def _sections(self, definitions: Definitions) -> tuple[list[Section], list[Problem]]:
        """Return the sections that hold its rows, and which are missing."""
        rows = sections_of_rows(self._repo, self._snapshot, definitions)
        found: list[Section] = []
        problems: list[Problem] = []
        for name in partitions_below(definitions, [self._name]):
            found += rows.get(name, ())
            parts = table_parts(definitions, name)
            problems += check_left_out(parts, rows.get(name, ())) if parts is not None else ()
        return found, problems

    def _table(
        self, definitions: Definitions, sections: Sequence[Section], live: LiveTable
    ) -> tuple[RowsTable | None, Findings]:
        """Return the table, if its rows can be compared with the live ones."""
        encoding = self._snapshot.origin.client_encoding
        heads = [
            copied_columns(read_head(self._repo.chunks, section), encoding) for section in sections
        ]
        rev = self._plan.snapshot_id
        columns = heads[0] or () if heads else ()
        if (
            not columns
            or any(section.rows is None for section in sections)
            or any(set(head or ()) != set(columns) for head in heads)
        ):
            reason = f"the rows of {shown(self._name)} are not written as COPY of the same columns"
            return None, Findings((Problem(reason, hint=beside(rev, self._name)),))
        facts = read_facts(self._session, [self._name]).get(self._name)
        key = facts.key if facts is not None else ()
        self._plan = replace(self._plan, key=tuple(column for column, _ in key))
        there = read_columns(self._session, live.oid)
        problems = [
            *check_columns(rev, definitions, self._name, columns, there),
            *check_composites(rev, definitions, read_composites(self._session, live.oid)),
            *check_key(rev, self._name, columns, (column for column, _ in key)),
        ]
        new = [c.name for c in there if c.name not in columns and not c.is_generated]
        told = (
            (f"the snapshot has no column {', '.join(new)}: it stays as it is, and has its default"
             " in rows that are added",)
            if new
            else ()
        )  # fmt: skip
        is_partitioned = live.kind == "p"
        return RowsTable(self._name, is_partitioned, columns, key), Findings(tuple(problems), told)

    def _load(self, table: RowsTable, sections: Sequence[Section]) -> None:
        """Copy the snapshot's rows into a temporary table."""
        session, encoding = self._session, self._snapshot.origin.client_encoding
        try:
            session.execute(make_temporary(table))
        except QueryFailed as error:
            raise TargetRefused(
                f"no temporary table can be made: {error.message}",
                detail=error.detail,
                hint="Rows are compared in temporary tables of this session: as a superuser, GRANT"
                f" TEMPORARY ON DATABASE {ident(self._plan.database)} TO this role;",
            ) from error
        self._progress.phase("load", sum(section.plain_bytes for section in sections))
        for section in sections:
            columns = copied_columns(read_head(self._repo.chunks, section), encoding) or ()
            try:
                session.copy_rows(copy_all(columns, encoding), self._rows(section))
            except QueryFailed as error:
                raise TargetRefused(
                    f"rows of the snapshot do not fit {shown(self._name)} as it is now:"
                    f" {error.message}",
                    detail=error.detail,
                    hint=beside(self._plan.snapshot_id, self._name),
                ) from error
        ((count,),) = session.query("SELECT count(*) FROM pg_temp.snap_all")
        wanted = sum(section.rows or 0 for section in sections)
        if count != str(wanted):
            raise TargetRefused(
                f"the server took {count} rows of {wanted} of {shown(self._name)}",
                hint="Look for damage: snap verify --data",
            )

    def _rows(self, section: Section) -> Iterator[bytes]:
        """Yield only the rows of a section; it is checked to its end."""
        start, end = section.head_bytes, section.plain_bytes - section.tail_bytes
        place = 0
        for block in section_text(self._repo, self._snapshot, section):
            rows = block[max(start - place, 0) : max(end - place, 0)]
            place += len(block)
            self._progress.advance(len(block), str(section.name))
            if rows:
                yield rows

    def _compare(self, table: RowsTable) -> Findings:
        """Choose rows, and find out which of them differ from the live ones."""
        options, session = self._plan.options, self._session
        self._progress.phase("compare")
        if options.condition is None:
            self._copy_keys(table)
        session.execute(BEGIN_READING)
        try:
            for sql in choose(table, options.condition):
                session.execute(sql)
        except QueryFailed as error:
            if options.condition is None or error.sqlstate[:2] in ("40", "53", "57"):
                raise
            raise UsageError(
                f"the server does not take the condition: {error.message}",
                detail=f"{error.detail} It is: {options.condition}".strip(),
                hint=error.hint
                or "It is an expression over the table's columns, as after WHERE,"
                " and may only read.",
            ) from error
        ((chosen,),) = session.query("SELECT count(*) FROM pg_temp.snap_new")
        ((odd,),) = session.query(ambiguous_keys(table))
        for sql in compare(table, delete=options.delete):
            session.execute(sql)
        row = [int(value or 0) for value in session.query(count_changes(table))[0]]
        session.execute("COMMIT; DROP TABLE pg_temp.snap_all")
        added, changed, deleted, extra = row
        same = int(chosen or 0) - added - changed
        self._plan = replace(
            self._plan, added=added, changed=changed, deleted=deleted, same=same, extra=extra
        )
        if odd != "0":
            reason = (
                f"rows of the snapshot have no value, or the same one, of the primary key that"
                f" {shown(self._name)} has now"
            )
            return Findings((Problem(reason, hint=beside(self._plan.snapshot_id, self._name)),))
        if added + changed + deleted > ROWS_BACK_MAX:
            return Findings((self._too_many(),))
        return Findings()

    def _too_many(self) -> Problem:
        rev = self._plan.snapshot_id.hex()[:12]
        return Problem(
            f"more rows would change than this is for: {number(ROWS_BACK_MAX)}",
            detail="The key of each is recorded, so that it can be undone.",
            hint="Choose fewer, or replace the whole table: snap restore"
            f" {rev} --table {shown(self._name)} --replace",
        )

    def _copy_keys(self, table: RowsTable) -> None:
        names = [name for name, _ in table.key]
        options = self._plan.options
        keys = (*options.keys, *(parse_row_key(key, names).texts for key in options.typed))
        lines = [
            b"\t".join(escaped(encode(value, "UTF8")) for value in key) + b"\n" for key in keys
        ]
        try:
            self._session.copy_rows(copy_keys(table), [b"".join(lines)])
        except QueryFailed as error:
            raise UsageError(
                f"that is no key of {shown(self._name)}: {error.message}",
                detail=error.detail,
                hint=f"Its primary key is: {', '.join(names)}",
            ) from error

    def _changes(self, done: Prepared, live: LiveTable) -> Findings:
        """Say what changes, and what that would set off."""
        table, session = done.table, self._session
        assert table is not None, "it was compared"
        done.changed = tuple(
            name
            for columns in _slices(table)
            for name, mark in zip(
                columns, session.query(differing_columns(table, columns))[0], strict=True
            )
            if mark == "t"
        )
        self._plan = replace(self._plan, rows=_changed_rows(session, table))
        done.keys = tuple(
            tuple(value or "" for value in row) for row in session.query(changed_keys(table))
        )
        writes = self._plan.writes
        if not writes:
            return Findings()
        if sum(len(value) for key in done.keys for value in key) > ROWS_BACK_BYTES_MAX:
            return Findings((self._too_many(),))
        done.oid = live.oid
        done.referring = referring_keys(session, live, writes, done.changed)
        others = [key.of for key in done.referring if not key.to_itself]
        done.locked = tuple(dict.fromkeys([table.live(), *others]))
        shown_names = [shown(self._name), *(name.removeprefix("ONLY ") for name in others)]
        self._plan = replace(self._plan, locked=tuple(dict.fromkeys(shown_names)))
        problems = [
            *check_acting(session, live, writes),
            *check_referrers(session, table, done.referring),
        ]
        if not problems:
            try:
                try_changes(session, table, done.changed, self._plan.snapshot_id)
            except QueryFailed as error:
                problems.append(not_accepted(self._plan.snapshot_id, self._name, error))
            except NotAsShown as odd:
                problems.append(odd.problem)
        return Findings(tuple(problems))


def _slices(table: RowsTable) -> Iterator[tuple[str, ...]]:
    for start in range(0, len(table.columns), _COLUMNS_AT_ONCE):
        yield table.columns[start : start + _COLUMNS_AT_ONCE]


def _changed_rows(session: Session, table: RowsTable) -> tuple[ChangedRow, ...]:
    """Return the first rows of what is changed. Raises QueryFailed."""
    found: list[list[str | None]] = []
    for columns in _slices(table):
        rows = session.query(show_changes(table, ROWS_SHOWN_MAX, CHARACTERS_SHOWN_MAX, columns))
        if not found:
            found = [[*row[:2]] for row in rows]
        for all_of_it, row in zip(found, rows, strict=True):
            all_of_it += row[2:]
    return tuple(_changed_row(table, row) for row in found)


def _changed_row(table: RowsTable, row: Sequence[str | None]) -> ChangedRow:
    was, is_new, *values = row
    change = "changed" if was == is_new == "t" else "added" if is_new == "t" else "deleted"
    return ChangedRow(
        change,
        tuple(
            ChangedValue(name, old, new, differs != "f", too_long == "t")
            for name, old, new, differs, too_long in zip(
                table.columns, *(values[n::4] for n in range(4)), strict=True
            )
        ),
    )
