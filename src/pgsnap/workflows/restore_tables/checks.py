"""Checks that refuse a restore of single tables, each with a hint. Read-only."""

from __future__ import annotations

from collections.abc import Iterable

from pgsnap.dump.definitions.table_parts import TableName, TableParts, quoted
from pgsnap.dump.definitions.table_statements import foreign_statement
from pgsnap.model import Section, Snapshot, SnapshotId, quote_ident
from pgsnap.sessions.base import Session, ident, literal
from pgsnap.targets.checks.preflight import ConnectedRole, Findings, Problem, check_writable
from pgsnap.targets.checks.requirements import check_version
from pgsnap.targets.tables.live import LiveTable, find_table
from pgsnap.targets.tables.ties import Dependents
from pgsnap.workflows.contents.table_names import by_a_copy, shown


def check_snapshot(session: Session, snapshot: Snapshot) -> Findings:
    """Return what forbids restoring any table of *snapshot* to this server."""
    found = check_version(session, snapshot.origin) + check_writable(session)
    if snapshot.origin.is_pg_dump:
        return found
    return found + Findings(
        (
            Problem(
                "pg_dump did not write this SQL, so one table's part cannot be taken out of it",
                hint="Restore all of it into a new database: --to NEW, without --table.",
            ),
        )
    )


def check_parts(
    snapshot_id: SnapshotId, parts: TableParts, sections: Iterable[Section]
) -> list[Problem]:
    """Return why a table cannot be created from its part of the snapshot."""
    name = shown(parts.table)
    reasons = []
    if parts.obstacle:
        reasons.append(f"{name} cannot be restored alone: {parts.obstacle}")
    if word := foreign_statement(parts.texts()):
        reasons.append(
            f"{name} cannot be restored alone: its definitions hold what pg_dump does not write"
            f" there: {word}"
        )
    if any(section.rows is None for section in sections):
        reasons.append(f"the rows of {name} are not written as COPY, so they cannot be counted")
    return [Problem(reason, hint=by_a_copy(snapshot_id, parts.table)) for reason in reasons]


def check_left_out(parts: TableParts, sections: Iterable[Section]) -> list[Problem]:
    """Report tables that would be empty because the dump left their rows out: a dump has a data
    section even for an empty table."""
    if any(True for _ in sections) or parts.obstacle or not parts.holds_rows():
        return []
    return [
        Problem(
            f"the snapshot was made without the rows of {shown(parts.table)}",
            detail="It would be made empty.",
            hint="Take it from a snapshot that has them. Beside the live one (leave out --replace)"
            " it is made without rows.",
        )
    ]


def partition_alone(snapshot_id: SnapshotId, table: TableName) -> Problem:
    """Return why a partition cannot be restored in another one's place by itself."""
    return Problem(
        f"{shown(table)} is a partition, and is replaced with the whole table only",
        hint="Name the table that it is a partition of, or restore beside it (leave out --replace)"
        f" and copy the rows over. Or: {by_a_copy(snapshot_id, table)}",
    )


def check_place(
    session: Session, target: TableName, kept: TableName | None, live: LiveTable | None
) -> list[Problem]:
    """Return why the new table, or the one that it replaces, cannot get its name."""
    schema = target[0]
    if not session.query(
        f"SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = {literal(schema)}"
    ):
        return [
            Problem(
                f"there is no schema {quote_ident(schema)} any more",
                hint=f"Make it: CREATE SCHEMA {ident(schema)};",
            )
        ]
    problems = []
    for name in dict.fromkeys((target, kept or target)):
        is_live = live is not None and name == live.name
        if not is_live and find_table(session, name) is not None:
            problems.append(
                Problem(
                    f"{shown(name)} exists already",
                    hint=f"Drop it if it is not needed: DROP TABLE {quoted(name)};",
                )
            )
    return problems


def check_rights(session: Session, me: ConnectedRole, database: str) -> list[Problem]:
    """Return why the schema in which the tables are created cannot be created."""
    if session.query(
        "SELECT 1 WHERE pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE')"
    ):
        return []
    grant = f"GRANT CREATE ON DATABASE {ident(database)} TO {ident(me.name)};"
    return [
        Problem(
            f"the role {me.name} may not make schemas in this database",
            hint=f"As its owner: {grant}",
        )
    ]


def check_live(me: ConnectedRole, live: LiveTable, *, is_whole: bool) -> list[Problem]:
    """Return why the live table cannot be set aside; *is_whole*: it is no partition that moves
    along with its table."""
    name = shown(live.name)
    beside = "Restore beside it: leave out --replace."
    if live.kind not in ("r", "p"):
        return [Problem(f"what is called {name} now is no ordinary table", hint=beside)]
    problems = []
    if live.extension:
        problems.append(
            Problem(
                f"{name} belongs to the extension {live.extension} now",
                detail="Its number is what the extension's functions and settings go by.",
                hint=beside,
            )
        )
    if is_whole and live.parent:
        problems.append(
            Problem(
                f"{name} is a part of {live.parent} now, and would stay one when it is replaced",
                hint=beside,
            )
        )
    if not live.is_ours and not me.is_superuser:
        problems.append(
            Problem(
                f"the table {name} belongs to {live.owner}, only its owner may rename it",
                hint=f"As a superuser: GRANT {ident(live.owner)} TO {ident(me.name)};",
            )
        )
    return problems


def check_dependents(name: TableName, found: Dependents, *, check_keys: bool) -> list[Problem]:
    """Return the dependents of the live table that cannot be attached to the new one."""
    problems = []
    if found.stuck:
        problems.append(
            Problem(
                f"what depends on {shown(name)} would go on using the replaced table:"
                f" {', '.join(found.stuck)}",
                hint="Restore beside it (leave out --replace) and copy the rows over.",
            )
        )
    if found.foreign_keys and not check_keys:
        problems.append(
            Problem(
                f"foreign keys refer to {shown(name)}: {', '.join(found.foreign_keys)}",
                detail="Rows that they refer to may not be in the snapshot.",
                hint="Let it make them again and check that they hold, else change nothing:"
                " --cascade-check.",
            )
        )
    return problems


def check_set_aside(live: LiveTable, found: Dependents) -> list[Problem]:
    """Return the dependents of a live partition that gets no replacement."""
    tied = (*found.views, *found.foreign_keys, *found.stuck)
    if not tied:
        return []
    return [
        Problem(
            f"the snapshot has no partition {shown(live.name)}, and this depends on it:"
            f" {', '.join(tied)}",
            hint="Restore beside it (leave out --replace) and copy the rows over.",
        )
    ]


def held_elsewhere(name: TableName, found: Dependents) -> tuple[str, ...]:
    """Return a warning for each column of another table that refers to the live table by OID."""
    return tuple(
        f"rows of {column} that mean {shown(name)} will mean the replaced table"
        for column in found.columns
    )
