"""Checks that refuse to put single rows back, each with what could be done. Read-only."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from pgsnap.dump.definitions.table_columns import columns_in
from pgsnap.dump.definitions.table_parts import Definitions, TableName, quoted, table_parts
from pgsnap.errors import QueryFailed
from pgsnap.model import SnapshotId, quote_ident
from pgsnap.sessions.base import Session, ident
from pgsnap.targets.checks.preflight import Problem
from pgsnap.targets.tables.foreign_keys import ForeignKey, read_foreign_keys
from pgsnap.targets.tables.live import LiveTable, live_partitions
from pgsnap.targets.tables.publications import How, publications_of
from pgsnap.targets.tables.rows_back import (
    Column,
    RowsTable,
    acting_rules,
    acting_triggers,
    count_referrers,
    is_filtered,
    is_subscribed,
)
from pgsnap.words import plural, some
from pgsnap.workflows.contents.table_names import shown

# What follows a column's type in a CREATE TABLE.
_AFTER_TYPE = r"(?=,?$| (?:COLLATE|DEFAULT|NOT NULL|GENERATED|CONSTRAINT|STORAGE|COMPRESSION)\b)"
_ON_DELETE = {
    "c": "ON DELETE CASCADE would delete them, too.",
    "n": "ON DELETE SET NULL would change them, too.",
    "d": "ON DELETE SET DEFAULT would change them, too.",
}
_BUSY = ("53", "55P03", "57", "40")
_HINTS = {
    "23503": "Put back the rows that they refer to first, by a restore of --rows of that table.",
    "23505": "Look at the row that has these values now: choose it as well, or change it.",
    "23P01": "Look at the row that is in the way: choose it as well, or change it.",
    "428C9": "Choose rows that are not there any more, or that have their own number still.",
    "42501": "As the table's owner: GRANT SELECT, INSERT, UPDATE, DELETE to this role.",
}


def beside(snapshot_id: SnapshotId, table: TableName) -> str:
    """Return the hint for rows that have to be copied by hand."""
    return (
        "Restore the table beside the live one, and copy the rows over:"
        f" snap restore {snapshot_id.hex()[:12]} --table {shown(table)}"
    )


def check_table(
    session: Session, snapshot_id: SnapshotId, name: TableName, live: LiveTable | None
) -> Iterator[Problem]:
    """Yield why no row of the live table can be put back."""
    rev = snapshot_id.hex()[:12]
    if live is None:
        yield Problem(
            f"the database has no table {shown(name)} any more",
            hint=f"Restore all of it: snap restore {rev} --table {shown(name)} --replace",
        )
        return
    if live.kind not in ("r", "p"):
        yield Problem(f"what is called {shown(name)} now is no ordinary table",
                      hint=beside(snapshot_id, name))  # fmt: skip
        return
    if live.extension:
        yield Problem(
            f"{shown(name)} belongs to the extension {live.extension}",
            hint=f"Restore all its rows: snap restore {rev} --table {shown(name)} --data-only",
        )
    if is_filtered(session, live.oid):
        yield Problem(
            f"row security hides rows of {shown(name)} from this role",
            detail="So it cannot be known which of them are there.",
            hint="Connect as the table's owner (unless FORCE ROW LEVEL SECURITY is on), or as a"
            " role with BYPASSRLS.",
        )
    if is_subscribed(session, live.oid):
        yield Problem(
            f"a subscription fills {shown(name)}",
            detail="Its rows are those of the publisher, and would not be any more.",
            hint="Put them back at the publisher.",
        )
    if session.query("SHOW session_replication_role")[0][0] == "replica":
        yield Problem(
            "session_replication_role is replica for this role: no foreign key would be checked",
            hint="Connect as another role, or reset it: ALTER ROLE … RESET"
            " session_replication_role;",
        )


def check_columns(
    snapshot_id: SnapshotId,
    definitions: Definitions,
    name: TableName,
    columns: Sequence[str],
    live: Sequence[Column],
) -> Iterator[Problem]:
    """Yield why the snapshot's values do not fit the live columns."""
    there = {column.name: column for column in live}
    hint = beside(snapshot_id, name)
    if gone := [column for column in columns if column not in there]:
        yield Problem(f"{shown(name)} has no column {some(gone)} any more", hint=hint)
    if made := [column for column in columns if column in there and there[column].is_generated]:
        yield Problem(
            f"the server generates the values of {some(made)} now",
            detail="So the snapshot's cannot be put there.",
            hint=hint,
        )
    parts = table_parts(definitions, name)
    text = "\n".join(parts.before) if parts is not None else ""
    odd = [
        f"{column} ({there[column].type})"
        for column in columns
        if column in there and not _is_of_type(text, there[column])
    ]
    if odd:
        yield Problem(
            f"columns of {shown(name)} are not of the types that they have in the snapshot:"
            f" {some(odd)}",
            detail="The same text could mean another value.",
            hint=hint,
        )


def check_composites(
    snapshot_id: SnapshotId,
    definitions: Definitions,
    live: Mapping[TableName, list[tuple[str, str]]],
) -> Iterator[Problem]:
    """Yield the composite types whose attributes are not those of the snapshot: a value's text has
    no names, only their order."""
    for entry in definitions.pre:
        name = entry.schema, entry.name
        if entry.type != "TYPE" or name not in live:
            continue
        members = entry.text.partition(" AS ")[2]
        was = [(one.name, one.type) for one in columns_in(f"CREATE TABLE {members}")]
        if was != live[name]:
            yield Problem(
                f"the type {shown(name)} does not have the attributes that it has in the snapshot",
                detail="Values could get into others of them.",
                hint="Give it these attributes, in this order: "
                + ", ".join(f"{attribute} {kind}" for attribute, kind in was),
            )


def _is_of_type(definition: str, column: Column) -> bool:
    names = {re.escape(quote_ident(column.name)), re.escape(ident(column.name))}
    line = rf"^    (?:{'|'.join(sorted(names))}) {re.escape(column.type)}{_AFTER_TYPE}"
    return re.search(line, definition, re.M) is not None


def check_key(
    snapshot_id: SnapshotId, name: TableName, columns: Collection[str], key: Iterable[str]
) -> Iterator[Problem]:
    """Yield why the primary key does not identify rows."""
    found = list(key)
    if not found:
        yield Problem(
            f"{shown(name)} has no primary key",
            detail="Without one it cannot be known which live row a row of the snapshot is.",
            hint=beside(snapshot_id, name),
        )
    elif missing := [column for column in found if column not in columns]:
        yield Problem(
            f"the snapshot has no column {some(missing)}, which is in the primary key now",
            hint=beside(snapshot_id, name),
        )


def check_acting(session: Session, live: LiveTable, writes: Collection[str]) -> Iterator[Problem]:
    """Yield the triggers and rules that would act on what is written."""
    table = quoted(live.name)
    for kind, found in (
        ("TRIGGER", acting_triggers(session, live.oid, writes)),
        ("RULE", acting_rules(session, live.oid, writes)),
    ):
        for name in found:
            switch = f"{kind} {ident(name)};"
            yield Problem(
                f"the {kind.lower()} {name} of {shown(live.name)} would act on the rows",
                detail="What it does is not known: it may change them, or other tables.",
                hint=f"Where it may be off meanwhile: ALTER TABLE {table} DISABLE {switch}"
                f" afterwards ALTER TABLE {table} ENABLE {switch}",
            )


def referring_keys(
    session: Session, live: LiveTable, writes: Collection[str], changed: Collection[str]
) -> tuple[ForeignKey, ...]:
    """Return the foreign keys by which rows may refer to what is deleted, or to columns that are
    *changed*. Raises QueryFailed."""
    names = [live.name, *(part.name for part in live_partitions(session, live))]
    return tuple(
        key
        for key in read_foreign_keys(session, names)
        if key.refers_to_it and ("delete" in writes or set(key.columns) & set(changed))
    )


def check_referrers(
    session: Session, table: RowsTable, keys: Iterable[ForeignKey]
) -> Iterator[Problem]:
    """Yield the foreign keys by which others refer to rows that are deleted, or to values that
    change. Raises QueryFailed."""
    for key in keys:
        if key.has_period or not set(key.columns) <= set(table.columns):
            yield Problem(
                f"the foreign key {key.name} of {key.of} refers to {shown(table.name)} in a way"
                " that is not checked here",
                detail="It is over periods, or to columns that the snapshot does not have.",
                hint="Choose only rows that are not there any more, without --delete.",
            )
            continue
        ((count,),) = session.query(count_referrers(table, key))
        if count != "0":
            rows = plural(int(count or 0), "row")
            yield Problem(
                f"{rows} of {key.of.removeprefix('ONLY ')} would lose what it refers to, by"
                f" {key.name}"
                if count == "1"
                else f"{rows} of {key.of.removeprefix('ONLY ')} would lose what they refer to, by"
                f" {key.name}",
                detail="A row that they refer to would be deleted, or get other values there. "
                + _ON_DELETE.get(key.on_delete, ""),
                hint="Change or delete these rows first, or leave those that they refer to as they"
                " are: without --delete, or by another choice of --rows.",
            )


def not_accepted(snapshot_id: SnapshotId, table: TableName, error: QueryFailed) -> Problem:
    """Return why the server refused the rows."""
    if error.sqlstate.startswith(_BUSY):
        hint = "Try again when the server has what it lacks now."
    else:
        hint = _HINTS.get(error.sqlstate, error.hint or beside(snapshot_id, table))
    return Problem(
        f"the server does not take the rows: {error.message}", detail=error.detail, hint=hint
    )


def published(session: Session, live: LiveTable) -> tuple[str, ...]:
    """Return, as a warning, the publications that send the changes on."""
    found = [
        publication.name
        for publication in publications_of(session, live.name[0], live.oid)
        if publication.how is not How.EXCEPTED
    ]
    return (f"subscribers of {some(found)} get the changes",) if found else ()
