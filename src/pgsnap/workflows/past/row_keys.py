"""Which rows of a table are meant: the columns of a key, and the values that a user names."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence

from pgsnap.dump.definitions.ddl import identifiers
from pgsnap.dump.definitions.table_parts import Definitions, TableName
from pgsnap.errors import UsageError
from pgsnap.patterns import regex
from pgsnap.values import dataclass
from pgsnap.words import did_you_mean, plural
from pgsnap.workflows.contents.table_names import shown
from pgsnap.workflows.past.tables import PastTable

_NAME = r'(?:"(?:[^"]|"")+"|[^\s"(]+)'
_LIST = r"\(((?:[^\"()]|\"(?:[^\"]|\"\")+\")+)\)"
_UNIQUE = regex(rf"ADD CONSTRAINT ({_NAME}) UNIQUE (?:NULLS NOT DISTINCT )?{_LIST}")
_INDEX = regex(rf"CREATE UNIQUE INDEX ({_NAME}) ON .+? USING btree {_LIST}(?! WHERE)")
_IDENTITY = regex(rf"REPLICA IDENTITY USING INDEX ({_NAME});")


@dataclass(frozen=True, slots=True)
class RowKey:
    """The rows whose *columns* have the values *texts*, as the user wrote them."""

    columns: tuple[str, ...]
    texts: tuple[str, ...]

    @property
    def shown(self) -> str:
        """The key for display: ``42``, or ``a=1, b=2``."""
        if len(self.texts) == 1:
            return self.texts[0]
        return ", ".join(f"{c}={t}" for c, t in zip(self.columns, self.texts, strict=True))


def key_columns(table: PastTable, named: str | None) -> tuple[str, ...]:
    """Return the columns that *named* names (a list of columns, or a unique key), without it those
    of the primary key, else of the replica identity. Raises UsageError."""
    if named is None:
        found = table.key or _replica_identity(table.tables.definitions.all, table.name)
        if found:
            return found
        raise UsageError(
            f"{shown(table.name)} has no primary key",
            detail=f"Its columns are {', '.join(table.column_names)}.",
            hint="Name the columns that say which row is meant: --key COLUMN,COLUMN",
        )
    keys = unique_keys(table.tables.definitions.all, table.name)
    if named in keys:
        return keys[named]
    columns = table.column_names
    wanted = (named,) if named in columns else identifiers(named.encode(), "UTF8")
    for one in wanted:
        if one not in columns:
            raise UsageError(
                f'{shown(table.name)} has no column "{one}"',
                detail=f"Its columns are {', '.join(columns)}."
                + (f" Its unique keys are {', '.join(keys)}." if keys else ""),
                hint=did_you_mean(one, columns, "--key names columns, or a unique key."),
            )
    if not wanted or len(set(wanted)) < len(wanted):
        raise UsageError(f'"{named}" names no columns', hint="Write them as --key COLUMN,COLUMN")
    return wanted


def unique_keys(definitions: Definitions, table: TableName) -> dict[str, tuple[str, ...]]:
    """Return the columns of a table's unique constraints and indexes, by name. Those of expressions
    or of some rows only are left out."""
    found = {}
    for entry in definitions.post:
        if entry.table != table or entry.type not in ("CONSTRAINT", "INDEX"):
            continue
        match = _UNIQUE.search(entry.text) or _INDEX.search(entry.text)
        if match is not None and not re.search(r"[^\s,\"] ", match[2]):
            found[identifiers(match[1].encode(), "UTF8")[0]] = identifiers(
                match[2].encode(), "UTF8"
            )
    return found


def _replica_identity(definitions: Definitions, table: TableName) -> tuple[str, ...]:
    keys = unique_keys(definitions, table)
    for entry in definitions.post:
        match = _IDENTITY.search(entry.text) if entry.table == table else None
        if match is not None:
            return keys.get(identifiers(match[1].encode(), "UTF8")[0], ())
    return ()


def parse_row_key(text: str, columns: Sequence[str]) -> RowKey:
    """Return the key that a user wrote as ``42``, ``1,2`` or ``a=1,b=2``; in a list a value with
    commas is in double quotes. Raises UsageError."""
    if len(columns) == 1:
        name, sign, value = text.partition("=")
        is_named = bool(sign) and name.strip() == columns[0]
        return RowKey(tuple(columns), (value if is_named else text,))
    parts = next(csv.reader([text], skipinitialspace=True), [])
    pairs = [part.partition("=") for part in parts]
    if {name.strip() for name, sign, _ in pairs if sign} == set(columns) == {
        name.strip() for name, _, _ in pairs
    } and len(pairs) == len(columns):
        named = {name.strip(): value for name, _, value in pairs}
        return RowKey(tuple(columns), tuple(named[column] for column in columns))
    if len(parts) != len(columns):
        raise UsageError(
            f"the key is {plural(len(columns), 'value')}, and {plural(len(parts), 'value')}"
            f" {'was' if len(parts) == 1 else 'were'} named",
            detail=f"Its columns are {', '.join(columns)}.",
            hint="Write them in this order, or with their names: "
            + ",".join(f"{column}=VALUE" for column in columns),
        )
    return RowKey(tuple(columns), tuple(parts))
