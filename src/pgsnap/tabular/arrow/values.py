"""Columns of a block's rows, converted to their kinds; what does not fit is refused or counted."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from pgsnap.dump.definitions.table_columns import HSTORE
from pgsnap.errors import CorruptionError
from pgsnap.patterns import regex
from pgsnap.tabular.arrow.arrays import depth_of, lists_of, obstacle, without_bounds
from pgsnap.tabular.arrow.buffers import meant_strings, single
from pgsnap.tabular.arrow.kinds import Kind, has_elements, kind_of, text_kind
from pgsnap.tabular.arrow.nested import MAP, maps_of, parts_of_type, taken_apart
from pgsnap.tabular.base import (
    LONG_BYTES,
    UTF8,
    Column,
    Losses,
    Shape,
    Wishes,
    refuse,
    unicode_text,
)

_COLUMN = regex(r"In CSV column #(\d+)")
# How many arrays at the beginning say how many dimensions those of a column have.
_LOOKED_AT = 10_000

Unfit: TypeAlias = "Callable[[list[str], str], None]"


class BlockReader:
    """Reads blocks of whole rows as record batches. The first one settles the schema."""

    def __init__(self, shape: Shape, wishes: Wishes, losses: Losses) -> None:
        self._shape = shape
        self._wishes = wishes
        self._losses = losses
        self._columns = [_Values(shape, column, wishes, losses) for column in shape.columns]
        # Those with values that the reader of the text does not know.
        self._odd: set[int] = set()
        self._schema: pa.Schema | None = None

    def read(self, block: bytes) -> pa.Table:
        """Return the rows of *block*. Raises ValueUnfit, CorruptionError."""

        if self._shape.encoding.upper() not in UTF8:
            block = unicode_text(self._shape, block, lossy=self._wishes.lossy)
        fields = self._fields(block) if len(block) > LONG_BYTES else None
        if fields is not None:
            arrays = [
                one.of(field, was_read=False)
                for one, field in zip(self._columns, fields, strict=True)
            ]
        else:
            found = self._parsed(block)
            arrays = [
                one.of(single(found.column(at)), was_read=self._is_read(at))
                for at, one in enumerate(self._columns)
            ]
        return pa.Table.from_arrays(arrays, schema=self.schema)

    @property
    def schema(self) -> pa.Schema:
        """The columns, with PostgreSQL's types beside Arrow's."""
        if self._schema is None:
            self._schema = pa.schema(
                pa.field(
                    one.column.name,
                    one.arrow,
                    metadata={"postgresql.type": one.column.type.text or "unknown"},
                )
                for one in self._columns
            )
        return self._schema

    def _is_read(self, at: int) -> bool:
        return self._columns[at].reads and at not in self._odd

    def _fields(self, block: bytes) -> list[pa.Array] | None:
        """Return the fields of a single row as parts of *block*, since the reader of the text would
        hold them twice; None if there are more rows."""
        if block.find(b"\n") != len(block) - 1 or block.count(b"\t") + 1 != len(self._columns):
            return None
        whole, found, start = pa.py_buffer(block), list[pa.Array](), 0
        for _ in self._columns:
            end = block.find(b"\t", start)
            end = end if end >= 0 else len(block) - 1
            if end - start == 2 and block.startswith(rb"\N", start):
                found.append(pa.nulls(1, pa.string()))
            else:
                buffers = [
                    None,
                    pa.py_buffer(struct.pack("=ii", 0, end - start)),
                    whole.slice(start, end - start),
                ]
                found.append(pa.Array.from_buffers(pa.string(), 1, buffers))
            start = end + 1
        try:
            for field in found:
                field.validate(full=True)
        except pa.ArrowInvalid:
            unicode_text(self._shape, block, lossy=False)
            raise
        return found

    def _parsed(self, block: bytes) -> pa.Table:

        names = [str(at) for at in range(len(self._columns))]
        while True:
            types = {
                name: self._columns[at].arrow if self._is_read(at) else pa.string()
                for at, name in enumerate(names)
            }
            try:
                return csv.read_csv(
                    pa.BufferReader(block),
                    csv.ReadOptions(
                        column_names=names, block_size=len(block) + 1, use_threads=False
                    ),
                    csv.ParseOptions(
                        delimiter="\t",
                        quote_char=False,
                        escape_char=False,
                        ignore_empty_lines=False,
                    ),
                    csv.ConvertOptions(
                        column_types=types,
                        null_values=[r"\N"],
                        strings_can_be_null=True,
                        true_values=["t"],
                        false_values=["f"],
                        timestamp_parsers=[csv.ISO8601],
                    ),
                )
            except pa.ArrowInvalid as error:
                self._note(block, str(error))

    def _note(self, block: bytes, message: str) -> None:
        """Note which column has to be read as strings. Raises if that is not what is wrong."""
        match = _COLUMN.search(message)
        if match is not None and self._is_read(int(match[1])):
            self._odd.add(int(match[1]))
            return
        unicode_text(self._shape, block, lossy=False)
        raise CorruptionError(
            f"rows of {self._shape.shown} are not what their COPY statement says",
            detail=f"Arrow's reader says: {message.splitlines()[0]}",
            hint="Look for damage: snap verify --data",
        )


class _Values:
    """The values of one column. *arrow* is known once the first ones of an array were read."""

    def __init__(self, shape: Shape, column: Column, wishes: Wishes, losses: Losses) -> None:
        self._shape = shape
        self.column = column
        self._wishes = wishes
        self._losses = losses
        is_text = wishes.is_text(shape, column)
        self._is_list = not is_text and has_elements(column.type)
        is_plain = self._is_list or not (is_text or column.type.is_array)
        self._kind: Kind = kind_of(column.type, wishes.numeric) if is_plain else text_kind()
        parts = parts_of_type(column.type) if is_plain else ()
        # Errors name the column that they are in.
        self._parts = {
            name: _Values(shape, Column(column.name, type_), wishes, losses)
            for name, type_ in parts
        }
        self._is_map = is_plain and column.type.base == HSTORE
        self._depth = 0
        self.reads = self._kind.reads and not self._is_list

    @property
    def arrow(self) -> pa.DataType:

        found = self._element
        for _ in range(max(self._depth, 1) if self._is_list else 0):
            found = pa.list_(found)
        return found

    @property
    def _element(self) -> pa.DataType:
        """What one value is, of an array one element."""
        if self._parts:
            return pa.struct([(name, part.arrow) for name, part in self._parts.items()])
        return MAP if self._is_map else self._kind.arrow

    def of(self, values: pa.Array, *, was_read: bool) -> pa.Array:
        """Return the values as they are written."""
        if was_read:
            return values
        if self._kind.convert_escaped is not None and not self._is_list:
            return self._tried(self._kind.convert_escaped, values)
        return self.meant(meant_strings(values))

    def meant(self, strings: pa.Array) -> pa.Array:
        """Return the values of texts that have no escapes of COPY."""
        if not self._is_list:
            return self._converted(strings)
        if not self._depth:
            self._depth = depth_of(strings[:_LOOKED_AT])
        return self._lists(strings)

    def _converted(self, strings: pa.Array) -> pa.Array:
        """Return *strings* as values of the kind, those that are not regular one by one."""

        if self._kind.settled is not None:
            self._kind = self._kind.settled(strings)
        kind = self._kind
        if self._parts:
            return self._structs(strings)
        if self._is_map:
            return self._tried(maps_of, strings)
        if not kind.regular:
            return self._tried(kind.convert, strings)
        is_odd = pc.invert(pc.fill_null(pc.match_substring_regex(strings, kind.regular), True))
        if not pc.any(is_odd).as_py():
            return self._tried(kind.convert, strings)
        odd = strings.filter(is_odd)
        meant = {text: kind.odd(text) for text in pc.unique(odd).to_pylist()}
        texts = odd.to_pylist()
        unfit = [text for text in texts if meant[text] is None]
        if unfit:
            self._refuse_or_count(unfit, kind.why)
        nothing = pa.scalar(None, pa.string())
        regular = self._tried(kind.convert, pc.if_else(is_odd, nothing, strings))
        if len(unfit) == len(texts):
            return regular
        number = pa.int32() if kind.bits == 32 else pa.int64()
        replaced = pa.array([meant[text] for text in texts], number)
        return pc.replace_with_mask(regular.view(number), is_odd, replaced).view(kind.arrow)

    def _structs(self, strings: pa.Array) -> pa.Array:
        texts = self._tried(lambda some: taken_apart(some, self.column.type), strings)
        values = [part.meant(own) for part, own in zip(self._parts.values(), texts, strict=True)]
        mask = strings.is_null() if strings.null_count else None
        return pa.StructArray.from_arrays(values, fields=list(self._element), mask=mask)

    def _tried(self, convert: Callable[[pa.Array], Any], strings: pa.Array) -> Any:
        """Return *strings* converted; refuse the first one that is no value of the column's type,
        which only a dump that PostgreSQL did not write can have."""
        try:
            return convert(strings)
        except ValueError:
            for at in range(len(strings)):
                try:
                    convert(strings[at : at + 1])
                except ValueError:
                    refuse(
                        self._shape, self.column, strings[at].as_py(), "it is no value of that type"
                    )
            raise

    def _lists(self, strings: pa.Array) -> pa.Array:

        simple = rf"^(\{{\}}|\{{{{{self._depth}}}([^{{]|$))"
        is_odd = pc.invert(pc.fill_null(pc.match_substring_regex(strings, simple), True))
        if pc.any(is_odd).as_py():
            texts = strings.to_pylist()
            for at in pc.indices_nonzero(is_odd).to_pylist():
                why = obstacle(texts[at], self._depth)
                if why:
                    way_out = "--lossy writes its elements only, or NULL"
                    self._refuse_or_count([texts[at]], why, way_out)
                    texts[at] = without_bounds(texts[at])
                    texts[at] = None if obstacle(texts[at], self._depth) else texts[at]
            strings = pa.array(texts, pa.string())
        return lists_of(strings, self._converted, self._depth)

    def _refuse_or_count(self, values: list[str], why: str, way_out: str = "") -> None:
        if not self._wishes.lossy:
            refuse(self._shape, self.column, values[0], why, way_out=way_out)
        self._losses.add(self._shape, self.column, len(values))
