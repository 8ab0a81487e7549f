"""Compares definitions, which are read only if the sections that hold them differ."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping, Sequence

from pgsnap.dump.definitions.ddl import (
    DdlEntry,
    columns_of_type,
    ddl_entries,
    primary_keys,
    sequence_values,
)
from pgsnap.dump.definitions.table_parts import Definitions, is_partitioned
from pgsnap.dump.definitions.table_tree import partitions_below
from pgsnap.model import SectionKind
from pgsnap.workflows.diff.report import EntryDiff, SequenceDiff, TableName, Version

_DEFINITIONS = (SectionKind.PRE_DATA, SectionKind.POST_DATA)
_SEQUENCES = (SectionKind.SEQUENCES, SectionKind.EXTENSION_SEQUENCES)
# Neither schema nor rows; snap 0.1 took them for post-data.
_STATISTICS = frozenset({"STATISTICS DATA", "EXTENDED STATISTICS DATA"})
# pg_dump writes every database's language only if it was recreated, as pg_upgrade does; a restored
# database has that of template0.
_LANGUAGE = "plpgsql"
_OF_LANGUAGE = {("EXTENSION", "", _LANGUAGE), ("COMMENT", "", f"EXTENSION {_LANGUAGE}")}


def definitions(before: Version, after: Version) -> list[EntryDiff]:
    """Return the entries that differ, in the order of the second side, dropped ones last."""
    found = []
    for kind in _DEFINITIONS:
        if before.digest(kind) == after.digest(kind):
            continue
        old, new = _entries(before, kind), _entries(after, kind)
        for key, entry in new.items():
            was = old.get(key)
            if was is None or was.text != entry.text:
                text = was.text if was is not None else None
                found.append(EntryDiff(entry.title, entry.table, text, entry.text, key[:3]))
        found += [
            EntryDiff(entry.title, entry.table, entry.text, None, key[:3])
            for key, entry in old.items()
            if key not in new
        ]
    if _has_language(before) and _has_language(after):
        found = [e for e in found if e.key not in _OF_LANGUAGE or None not in (e.before, e.after)]
    return found


def _has_language(version: Version) -> bool:
    properties = version.origin.properties
    return properties is not None and any(e.name == _LANGUAGE for e in properties.extensions)


def _entries(version: Version, kind: SectionKind) -> dict[tuple[str, str, str, int], DdlEntry]:
    entries = ddl_entries(_text(version, kind), version.origin.client_encoding)
    return {key: entry for key, entry in entries.items() if entry.type not in _STATISTICS}


def _text(version: Version, kind: SectionKind) -> bytes:
    return b"".join(version.read(s) for name, s in version.sections.items() if name.kind is kind)


def respelled_columns(version: Version) -> Mapping[TableName, frozenset[str]]:
    """Return the columns whose values some versions of PostgreSQL print differently from others."""
    text = _text(version, SectionKind.PRE_DATA)
    return columns_of_type(text, version.origin.client_encoding, "pg_lsn")


def partitioned_tables(version: Version) -> Iterator[tuple[TableName, list[TableName]]]:
    """Yield the partitioned tables of one side, each with its partitions that have rows, at all
    levels."""
    text = _text(version, SectionKind.PRE_DATA)
    definitions = Definitions.read(text, b"", version.origin.client_encoding)
    with_rows = version.tables
    for entry in definitions.pre:
        if entry.type == "TABLE" and entry.table is not None and is_partitioned(entry.text):
            below = partitions_below(definitions, [entry.table])
            yield entry.table, [name for name in below if name in with_rows]


def keys_of(
    version: Version, tables: Collection[TableName] | None = None
) -> Mapping[TableName, tuple[str, ...]]:
    """Return the primary keys of one side, as its own definitions name them: of *tables*, None for
    all."""
    if tables is not None and not tables:
        return {}
    text = _text(version, SectionKind.POST_DATA)
    return primary_keys(text, version.origin.client_encoding, tables)


def shared_keys(
    before: Version, after: Version, tables: Collection[TableName] | None = None
) -> Mapping[TableName, tuple[str, ...]]:
    """Return the primary keys that are the same on both sides, in the form of `keys_of`."""
    keys = keys_of(before, tables)
    if before.digest(SectionKind.POST_DATA) == after.digest(SectionKind.POST_DATA):
        return keys
    others = keys_of(after, tables)
    return {table: key for table, key in keys.items() if others.get(table) == key}


def sequences(before: Version, after: Version) -> list[SequenceDiff]:
    """Return the sequences whose values differ, including those of extensions, by name."""
    if all(before.digest(kind) == after.digest(kind) for kind in _SEQUENCES):
        return []
    old, new = (
        sequence_values(
            b"".join(_text(version, kind) for kind in _SEQUENCES), version.origin.client_encoding
        )
        for version in (before, after)
    )
    return [
        SequenceDiff(
            name, old[name][0] if name in old else None, new[name][0] if name in new else None
        )
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]


def unified(changes: Sequence[EntryDiff]) -> Iterator[str]:
    """Yield the lines of a unified diff, one file per entry."""
    for change in changes:
        old = change.before.splitlines() if change.before is not None else []
        new = change.after.splitlines() if change.after is not None else []
        yield from difflib.unified_diff(
            old,
            new,
            fromfile=change.title if change.before is not None else "(none)",
            tofile=change.title if change.after is not None else "(none)",
            lineterm="",
        )
