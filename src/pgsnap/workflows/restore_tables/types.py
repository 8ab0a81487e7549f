"""Compares the types that a snapshot's tables use with those of the live database, which the
restored tables will have: a dump of one table holds no types.

The snapshot's types are created in schemas of their own, in a transaction that is rolled back, so
that the catalog compares them, not their text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from pgsnap.dump.definitions.ddl import DdlEntry
from pgsnap.dump.definitions.table_parts import (
    Definitions,
    TableName,
    TableParts,
    qualified_names,
    with_names,
    without_owner,
)
from pgsnap.dump.definitions.table_statements import foreign_in_types
from pgsnap.errors import QueryFailed
from pgsnap.model import SnapshotId, quote_ident
from pgsnap.patterns import regex
from pgsnap.sessions.base import Row, Session, ident, literal
from pgsnap.targets.checks.preflight import Findings, Problem
from pgsnap.targets.naming import new_token
from pgsnap.words import some
from pgsnap.workflows.contents.table_names import by_a_copy, shown

# Base types have functions in C, ranges create a multirange type too: neither is compared.
_COMPARED = regex(r"CREATE (?:DOMAIN \S|TYPE [^;]*? AS (?:ENUM )?\()", re.S)
_TYPED = regex(r"^CREATE (?:UNLOGGED )?TABLE [^;(]*? OF ", re.M)

_TypeEntries = Mapping[TableName, DdlEntry]


def check_types(
    session: Session,
    snapshot_id: SnapshotId,
    definitions: Definitions,
    tables: Sequence[TableParts],
) -> Findings:
    """Return what differs in the types of *tables*: a table made of a type (CREATE TABLE ... OF)
    would get other columns, a column would read its values by the type as it is now."""
    types = {
        (e.schema, e.name): e
        for e in definitions.pre
        if e.type in ("TYPE", "DOMAIN") and _COMPARED.match(e.text)
    }
    used = {parts.table: _used(_names_in(parts.before, types), types) for parts in tables}
    needed = [name for name in types if any(name in names for names in used.values())]
    if not needed:
        return Findings()
    if word := foreign_in_types(without_owner(types[name].text) for name in needed):
        table = next(table for table, names in used.items() if names)
        foreign = f"the definition of a type of it holds what pg_dump does not write there: {word}"
        return Findings(
            (
                Problem(
                    f"{shown(table)} cannot be restored alone: {foreign}",
                    hint=by_a_copy(snapshot_id, table),
                ),
            )
        )
    try:
        differ = _differing(session, {name: types[name] for name in needed})
    except QueryFailed as error:
        words = f"whether {some(list(map(shown, needed)))} are as in the snapshot cannot be known"
        return Findings(warnings=(f"{words}: {error.message}",))
    findings = Findings()
    for parts in tables:
        changed = [name for name in needed if name in used[parts.table] and name in differ]
        if changed:
            findings += _told(snapshot_id, parts, changed, types)
    return findings


def _told(
    snapshot_id: SnapshotId, parts: TableParts, changed: list[TableName], types: _TypeEntries
) -> Findings:
    made_of = _made_of(parts)
    if made_of is not None and made_of in changed:
        return Findings(
            (
                Problem(
                    f"{shown(parts.table)} is made of the type {shown(made_of)}, which is not as"
                    " it was in the snapshot",
                    detail="Its columns would be those of the type as it is now. In the snapshot"
                    f" it was: {_in_one_line(types[made_of].text)}",
                    hint=by_a_copy(snapshot_id, parts.table),
                ),
            )
        )
    words = (
        f"{some([shown(name) for name in changed])}, used by {shown(parts.table)}, is not as in"
        " the snapshot: the values are read by the type as it is now"
    )
    return Findings(warnings=(words,))


def _in_one_line(text: str) -> str:
    return " ".join(without_owner(text).split())


def _names_in(texts: Iterable[str], types: _TypeEntries) -> Iterator[TableName]:
    for text in texts:
        yield from (name for name in qualified_names(text) if name in types)


def _used(names: Iterable[TableName], types: _TypeEntries) -> frozenset[TableName]:
    """Return *names* and the types that those consist of."""
    found: set[TableName] = set()
    left = list(names)
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += _names_in((types[name].text,), types)
    return frozenset(found)


def _made_of(parts: TableParts) -> TableName | None:
    for text in parts.before:
        if _TYPED.search(text):
            names = qualified_names(text)
            return names[1] if len(names) > 1 else None
    return None


def _differing(session: Session, types: _TypeEntries) -> frozenset[TableName]:
    """Return which of *types* the live database lacks, or has otherwise. Raises QueryFailed if they
    cannot be created now, for instance because what they consist of is gone."""
    token = new_token()
    schemas = {schema: f"snap_{token}_{n}" for n, (schema, _) in enumerate(types)}
    names = {name: (schemas[name[0]], name[1]) for name in types}
    made = [f"CREATE SCHEMA {ident(schema)};\n" for schema in sorted(set(schemas.values()))]
    made += [with_names(without_owner(e.text), names) + "\n" for e in types.values()]
    session.execute("BEGIN;\n" + "".join(made))
    before = {name: _as_it_is(session, names[name], schemas) for name in types}
    now = {name: _as_it_is(session, name, {}) for name in types}
    session.execute("ROLLBACK")
    return frozenset(name for name in types if before[name] != now[name])


def _as_it_is(session: Session, name: TableName, schemas: Mapping[str, str]) -> Sequence[Row]:
    """Return what a type consists of, with the names of the live database."""
    rows = session.query(
        "SELECT t.typtype, pg_catalog.format_type(t.typbasetype, t.typtypmod), t.typnotnull,"
        " t.typdefault, t.typcollation::pg_catalog.regcollation,"
        " (SELECT pg_catalog.array_agg(e.enumlabel ORDER BY e.enumsortorder)"
        " FROM pg_catalog.pg_enum e WHERE e.enumtypid = t.oid),"
        " (SELECT pg_catalog.array_agg(pg_catalog.format('%I %s %s', a.attname,"
        " pg_catalog.format_type(a.atttypid, a.atttypmod),"
        " a.attcollation::pg_catalog.regcollation) ORDER BY a.attnum)"
        " FROM pg_catalog.pg_attribute a"
        " WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped),"
        " (SELECT pg_catalog.array_agg(pg_catalog.pg_get_constraintdef(c.oid)"
        " ORDER BY pg_catalog.pg_get_constraintdef(c.oid))"
        " FROM pg_catalog.pg_constraint c WHERE c.contypid = t.oid)"
        " FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace"
        f" WHERE n.nspname = {literal(name[0])}"
        f" AND t.typname = {literal(name[1])}"
    )
    return [tuple(_by_true_names(value, schemas) for value in row) for row in rows]


def _by_true_names(value: str | None, schemas: Mapping[str, str]) -> str | None:
    for schema, made_in in schemas.items():
        value = value.replace(made_in, quote_ident(schema)) if value is not None else None
    return value
