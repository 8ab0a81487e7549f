"""The SQL that creates a snapshot's tables, except for their rows: the same for a restore, and for
its rehearsal, which is rolled back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property

from pgsnap.dump.definitions.mending import Identities
from pgsnap.dump.definitions.rights import Right, as_grantors
from pgsnap.dump.definitions.table_parts import TableName, TableParts
from pgsnap.patterns import regex
from pgsnap.targets.tables.blocks import do
from pgsnap.targets.tables.rights import note_oids, same_rights, without_default_privileges
from pgsnap.targets.tables.swap import (
    no_ties_to_live,
    opening,
    renamed,
    sequence_values_sql,
    staged_names,
    staging_schemas,
)
from pgsnap.values import dataclass

_GENERATED = regex(r" GENERATED ALWAYS AS \(.*\) STORED", re.S)
_ANY_NAME = r'("(?:[^"]|"")+"|[^\s";]+)'
_SWITCH = regex(rf"ALTER TABLE .* (?:EN|DIS)ABLE (?:ALWAYS |REPLICA )?TRIGGER {_ANY_NAME};", re.S)
_TRIGGER = regex(rf"^CREATE (?:CONSTRAINT )?TRIGGER {_ANY_NAME} ", re.M)
FORGET_DRAWN = "DISCARD SEQUENCES;\n"


@dataclass(frozen=True)
class TableScript:
    """What is created, in which order. *parts* are those of all tables, *partitions* of those among
    them that will be partitions of others; *tag* is this restore's own word.

    *rights* are all that the new tables and sequences get, *sequences* their values.
    *makes_language*: the database has no PL/pgSQL.
    """

    parts: Sequence[TableParts]
    partitions: Sequence[TableParts]
    rights: Sequence[Right]
    sequences: Mapping[str, tuple[int, bool]]
    tag: str
    makes_language: bool

    @cached_property
    def staging(self) -> dict[str, str]:
        """The staging schema for each target schema."""
        return staging_schemas(self.parts, self.tag)

    @cached_property
    def names(self) -> dict[TableName, TableName]:
        """The staged name of each object that has a name of its own."""
        return staged_names(self.parts, self.staging)

    @cached_property
    def identities(self) -> Identities:
        """The identity columns of the tables."""
        return Identities.of(text for parts in self.parts for text in parts.before)

    def before_rows(self, settings: str = "") -> Iterator[str]:
        """Yield the beginning of the transaction, with *settings* for it, up to empty tables."""
        yield f"BEGIN;\n{settings}"
        yield opening(self.staging, makes_language=self.makes_language)
        yield from self._definitions(parts.first for parts in self.parts)
        yield from self._definitions(parts.before for parts in self.parts)
        yield without_default_privileges(self.staging.values(), self.tag)
        yield note_oids(self.staging.values())
        yield from self._definitions(parts.attach for parts in self.partitions)

    @property
    def generates(self) -> bool:
        """Whether values of columns are generated again as rows are loaded."""
        texts = (text for parts in self.parts for text in parts.before)
        return any(_GENERATED.search(text) for text in texts)

    def after_rows(self) -> Iterator[str]:
        """Yield everything that the tables have besides their rows, except foreign keys."""
        yield sequence_values_sql(dict(self.sequences), self.names, self.identities)
        yield from self._definitions(parts.after for parts in self.parts)
        yield from self._definitions(
            tuple(filter(self._is_of_trigger_here, parts.with_parent)) for parts in self.partitions
        )
        yield from map(as_grantors, self._definitions(parts.rights for parts in self.parts))
        for parts in self.parts:
            yield no_ties_to_live(parts.table, self.names[parts.table], self.tag)

    def proof_of_rights(self) -> str:
        """Return SQL that fails unless the privileges are the snapshot's: the last statement before
        COMMIT."""
        return same_rights(self.rights, self.names, self.tag)

    def _is_of_trigger_here(self, text: str) -> bool:
        """Return whether a partition has the trigger that *text* enables or disables: it is not one
        of a table above those that are created."""
        switch = _SWITCH.match(text)
        return switch is None or any(
            made[1] == switch[1]
            for parts in self.parts
            for entry in parts.after
            for made in _TRIGGER.finditer(entry)
        )

    def _definitions(self, texts: Iterable[tuple[str, ...]]) -> Iterator[str]:
        for each in texts:
            yield renamed(each, self.names, self.identities)


def nothing_drawn(tag: str) -> str:
    """Return SQL that fails if rows loaded since FORGET_DRAWN advanced a sequence: then a generated
    column has different values than before."""
    return do(
        tag,
        "DECLARE last bigint;",
        """BEGIN
    last := pg_catalog.lastval();
  EXCEPTION WHEN object_not_in_prerequisite_state THEN
    last := NULL;
  END;
  IF last IS NOT NULL THEN
    RAISE EXCEPTION 'snap: a generated column draws from a sequence: its values would be others'
      USING DETAIL = 'They are in no dump.';
  END IF;""",
    )
