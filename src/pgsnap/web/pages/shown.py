"""Names and values of rows as a page shows them: who wrote them may mean harm, and a value may
be of gigabytes. What is invisible in them is made visible where they are printed."""

from __future__ import annotations

from collections.abc import Sequence

from pgsnap import words
from pgsnap.model import quote_ident
from pgsnap.patterns import regex
from pgsnap.values import dataclass
from pgsnap.workflows.diff.report import TableName

CHARACTERS_SHOWN = 240
_ONE_LINE_MAX = 26
_NUMBER = regex(r"-?\d+(?:\.\d+)?")


@dataclass(frozen=True, slots=True)
class Shown:
    """A value: None is NULL. Of a long one only a part is left; *size* says how much it is in
    all."""

    text: str | None
    size: str
    begins: bool = True
    ends: bool = True

    @property
    def is_short(self) -> bool:
        """Whether it is to stay on one line."""
        return self.text is None or len(self.text) <= _ONE_LINE_MAX

    @property
    def is_number(self) -> bool:
        return self.text is not None and _NUMBER.fullmatch(self.text) is not None


def shown(value: str | None, start: int = 0) -> Shown:
    """Return *value*, from the character *start* on."""
    if value is None:
        return Shown(None, "")
    part = value[start : start + CHARACTERS_SHOWN]
    return Shown(
        part, words.plural(len(value), "character"), start == 0, start + len(part) == len(value)
    )


def shown_part(text: str | None, size: int, *, is_whole: bool) -> Shown:
    """Return a value of which perhaps only the beginning is known; all of it has *size* bytes."""
    found = shown(text)
    return found if is_whole else Shown(found.text, words.size(size), ends=False)


def shown_apart(before: str | None, after: str | None) -> tuple[Shown, Shown]:
    """Return two values so that their difference is visible, even far from their beginnings."""
    start = 0
    if before is not None and after is not None:
        same = _shared(before, after)
        if max(len(before), len(after)) > CHARACTERS_SHOWN:
            start = max(same - CHARACTERS_SHOWN // 4, 0)
    return shown(before, start), shown(after, start)


def _shared(before: str, after: str) -> int:
    """Return with how many characters both begin."""
    low, high = 0, min(len(before), len(after))
    while low < high:
        middle = (low + high + 1) // 2
        if before[low:middle] == after[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def numeric_columns(rows: Sequence[Sequence[Shown | None]], count: int) -> tuple[bool, ...]:
    """Return which of *count* columns hold nothing but numbers and NULL, and some number."""
    found = []
    for place in range(count):
        cells = [row[place] for row in rows if place < len(row)]
        values = [cell for cell in cells if cell is not None and cell.text is not None]
        found.append(bool(values) and all(one.is_number for one in values))
    return tuple(found)


def qualified(table: TableName) -> str:
    """Return the name of a table as SQL has it."""
    return ".".join(quote_ident(part) for part in table if part)
