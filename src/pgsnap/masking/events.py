"""The filter that masks rows in a dump on its way out.

It goes by what the COPY statements in the dump say, and passes nothing on of a table or column that
the masks do not list: whatever the plan saw, what is not known to be wanted does not get out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field

from pgsnap.dump.definitions.copy_text import copied_columns
from pgsnap.dump.definitions.entry_filter import LeftOut, leave_out
from pgsnap.dump.definitions.table_parts import TableName, with_names
from pgsnap.dump.entries import copied_table, decode, encode
from pgsnap.errors import CorruptionError, UsageError
from pgsnap.masking.catalog import UNKNOWN, Catalog, Column
from pgsnap.masking.masks import KEEP, Kind, Masks, Rule
from pgsnap.masking.rows import ColumnMask, RowMasker
from pgsnap.masking.values import mask_of
from pgsnap.model import DumpEvent, SectionEnd, SectionKind, SectionName, SectionStart, quote_ident
from pgsnap.values import dataclass

SECRETS = (b"SUBSCRIPTION", b"USER MAPPING")
"""Types of entries that hold passwords for other servers, and what belongs to them."""
LARGE_OBJECTS = (b"BLOB", b"LARGE OBJECT", b"LARGE OBJECTS")
# A table has at most 1,600 columns.
_HEAD_BYTES_MAX = 1024 * 1024
_COPY_END = b" FROM stdin;\n"
_NO_COLUMNS = b"  FROM stdin;\n"


@dataclass(frozen=True, slots=True)
class Masking:
    """*masks* for a dump whose definitions are those of *catalog*. *roots* maps a partition whose
    key is masked to the topmost table, through which its rows go."""

    masks: Masks
    catalog: Catalog
    encoding: str
    roots: Mapping[TableName, TableName] = field(default_factory=dict)

    @classmethod
    def of(cls, masks: Masks, catalog: Catalog, encoding: str) -> Masking:
        made = cls(masks, catalog, encoding)
        return cls(masks, catalog, encoding, dict(made._masked_partitions()))

    def rules(self, table: TableName) -> Mapping[str, Rule] | None:
        """Return the rules of *table*, or of the table that it is a partition of, by column."""
        for name in self.catalog.chain(table):
            if name in self.masks.tables:
                return self.masks.tables[name]
        return None

    def is_without_rows(self, table: TableName) -> bool:
        """Whether its rows are left out."""
        for name in self.catalog.chain(table):
            if name in self.masks.tables:
                return False
            if name in self.masks.without_rows:
                return True
        return False

    def column(self, table: TableName, name: str) -> Column:
        """Return a column as it is defined, of an unknown type where that is unknown."""
        return self.catalog.tables.get(table, {}).get(name) or Column(name, UNKNOWN)

    def decides(self, table: TableName, column: str, rule: Rule) -> str:
        """Return the column whose values decide what becomes of *column*; "" if it is unknown."""
        if rule.by or rule.kind is not Kind.SHIFT:
            return rule.by or column
        for name in self.catalog.chain(table):
            if key := self.catalog.primary.get(name):
                return key[0]
        return ""

    def sends(self, section: SectionName) -> bool:
        """Return whether anything of a section goes out. Statistics hold values of columns."""
        if section.kind is SectionKind.LARGE_OBJECTS:
            return self.masks.keeps_large_objects
        if section.kind is SectionKind.DATA:
            return not self.is_without_rows((section.schema, section.name))
        return section.kind is not SectionKind.STATISTICS

    def definitions(self, events: Iterable[DumpEvent]) -> Iterator[DumpEvent]:
        """Yield *events* without the definitions that hold passwords, or belong to what is left
        out."""
        return leave_out(events, LeftOut(types=self.types_left_out), self.encoding)

    @property
    def types_left_out(self) -> tuple[bytes, ...]:
        return SECRETS if self.masks.keeps_large_objects else (*SECRETS, *LARGE_OBJECTS)

    def passing(self, events: Iterable[DumpEvent], *, routes: bool = True) -> Iterator[DumpEvent]:
        """Yield *events* with all rows masked, and without the sections that are not sent. The text
        before the rows of a section is one event; unless *routes*, it is as it was.

        Raises UsageError for a table or column that is not listed, CorruptionError for rows that
        are not what their COPY statement says.
        """
        is_sent, rows = True, _Rows(self, routes=routes)
        for event in events:
            if isinstance(event, SectionStart):
                is_sent = self.sends(event.name)
                rows.begin(event.name)
                if is_sent:
                    yield event
            elif not is_sent:
                continue
            elif isinstance(event, SectionEnd):
                yield from rows.end()
                yield event
            else:
                yield from rows.feed(event)

    def masker(self, table: TableName, columns: tuple[str, ...]) -> RowMasker | None:
        """Return what masks rows of *table* with *columns*, None if all are kept."""
        rules, shown = self.rules(table), ".".join(map(quote_ident, table))
        if rules is None:
            raise UsageError(
                f"{self.masks.where} does not list the table {shown}",
                hint="See what is missing: snap mask check REV",
            )
        if unlisted := [column for column in columns if column not in rules]:
            raise UsageError(
                f"{self.masks.where} does not list the column {unlisted[0]} of {shown}",
                hint="See what is missing: snap mask check REV",
            )
        masks: dict[int, ColumnMask] = {}
        for number, name in enumerate(columns):
            rule = rules[name]
            column = self.column(table, name)
            mask = mask_of(rule, column.type, self.masks.key or b"", self.encoding)
            if mask is not None:
                by = columns.index(self.decides(table, name, rule))
                masks[number] = ColumnMask(mask, by, is_whole=rule.kind is Kind.JSON)
        # Of a table without columns only empty rows are kept.
        return RowMasker(len(columns), masks, shown) if masks or not columns else None

    def _masked_partitions(self) -> Iterator[tuple[TableName, TableName]]:
        for table in self.catalog.parents:
            rules = self.rules(table) or {}
            for above in self.catalog.chain(table):
                names = self.catalog.partition_keys.get(above, frozenset())
                if any(rules.get(name, KEEP).kind is not Kind.KEEP for name in names):
                    yield table, self.catalog.root(table)
                    break


class _Rows:
    """One section after another, as its bytes pass."""

    def __init__(self, masking: Masking, *, routes: bool) -> None:
        self._masking = masking
        self._roots = masking.roots if routes else {}
        self._section: SectionName | None = None
        self._head = b""
        self._masker: RowMasker | None = None

    def begin(self, section: SectionName) -> None:
        self._section = section if section.kind is SectionKind.DATA else None
        self._head, self._masker = b"", None

    def feed(self, block: bytes) -> Iterator[bytes]:
        if self._section is not None:
            head, rest = self._head + block, b""
            parsed = _parsed(head, self._masking.encoding)
            if parsed is None:
                if len(head) > _HEAD_BYTES_MAX:
                    raise _not_rows(self._section)
                self._head = head
                return
            size, columns = parsed
            head, rest = head[:size], head[size:]
            table = copied_table(head[head.rfind(b"\nCOPY ") + 1 :], self._masking.encoding)
            if table != (self._section.schema, self._section.name):
                raise _not_rows(self._section)
            self._masker = self._masking.masker(table, columns)
            self._section = None
            yield self._head_of(table, head)
            block = rest
        if self._masker is not None:
            yield from self._masker.feed(block)
        elif block:
            yield block

    def end(self) -> Iterator[bytes]:
        if self._section is not None:
            raise _not_rows(self._section)
        if self._masker is not None:
            self._masker.finish()
        yield from ()

    def _head_of(self, table: TableName, head: bytes) -> bytes:
        """Return what precedes the rows, with the table that takes them."""
        root = self._roots.get(table)
        if root is None:
            return head
        before, copy, rest = head.rpartition(b"\nCOPY ")
        encoding = self._masking.encoding
        return before + encode(with_names(decode(copy + rest, encoding), {table: root}), encoding)


def _parsed(text: bytes, encoding: str) -> tuple[int, tuple[str, ...]] | None:
    """Return where the COPY statement in *text* ends, and the columns in it; None if it does not
    end there."""
    position = 0
    while (found := text.find(_COPY_END, position)) >= 0:
        position = found + len(_COPY_END)
        columns = copied_columns(text[:position], encoding)
        if columns is None and text[:position].endswith(_NO_COLUMNS):
            columns = ()
        if columns is not None:
            return position, columns
    return None


def _not_rows(section: SectionName) -> CorruptionError:
    return CorruptionError(
        f"the rows of {section} do not begin with a COPY statement that names their columns",
        hint="Look for damage: snap verify --data",
    )
