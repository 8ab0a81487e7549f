"""The columns of a table with their types, as its CREATE TABLE names them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from pgsnap.dump.definitions.statements import Kind, Token, statements

# What may follow a column's type.
_AFTER_TYPE = frozenset(
    ("DEFAULT", "NOT", "NULL", "GENERATED", "COLLATE", "CONSTRAINT", "STORAGE", "COMPRESSION")
)
# pg_dump writes columns of these names in quotes.
_OF_TABLE = frozenset(("CONSTRAINT", "CHECK", "PRIMARY", "UNIQUE", "FOREIGN", "EXCLUDE", "LIKE"))


@dataclass(frozen=True, slots=True)
class ColumnDefinition:
    """A column: its *type* is as in the dump, such as ``numeric(10,2)`` or ``public.mood[]``.
    *is_generated*: its values are computed, and so in no dump."""

    name: str
    type: str
    is_generated: bool = False


def columns_in(text: str) -> tuple[ColumnDefinition, ...]:
    """Return the columns that the entry of a table lists, in its order. Tables of a type, and those
    that inherit, list not all of theirs."""
    found = []
    for part in listed_items(text):
        words = [token for token in part if token.kind is not Kind.SPACE]
        if not words or words[0].kind not in (Kind.WORD, Kind.NAME):
            continue
        first = words[0]
        if first.kind is Kind.WORD and first.text.upper() in _OF_TABLE:
            continue
        found.append(_column(first, part[part.index(first) + 1 :]))
    return tuple(found)


def listed_items(text: str) -> Iterator[list[Token]]:
    """Yield what stands between the commas in the first parentheses of CREATE TABLE: columns,
    constraints, and nothing where there are none."""
    depth = 0
    part: list[Token] = []
    is_table = False
    for token in chain.from_iterable(statements(text)):
        if not depth and token.kind is Kind.WORD and token.text.upper() == "TABLE":
            is_table = True
        if token.kind is Kind.OTHER and token.text in "([":
            depth += 1
            if depth == 1:
                if not is_table:
                    return
                continue
        elif token.kind is Kind.OTHER and token.text in ")]":
            depth -= 1
            if not depth:
                yield part
                return
        if depth == 1 and token == (Kind.OTHER, ","):
            yield part
            part = []
        elif depth:
            part.append(token)


def _column(name: Token, rest: Sequence[Token]) -> ColumnDefinition:
    depth, words = 0, []
    is_type = True
    is_generated = False
    for token in rest:
        if token.kind is Kind.OTHER:
            depth += (token.text in "([") - (token.text in ")]")
        if token.kind is Kind.WORD and not depth:
            word = token.text.upper()
            is_type = is_type and word not in _AFTER_TYPE
            # GENERATED … AS IDENTITY is an ordinary column with a default.
            is_generated = word in ("STORED", "VIRTUAL") or is_generated
        if is_type:
            words.append(" " if token.kind is Kind.SPACE else token.text)
    text = name.text
    shown = text[1:-1].replace('""', '"') if name.kind is Kind.NAME else text
    return ColumnDefinition(shown, "".join(words).strip(), is_generated)
