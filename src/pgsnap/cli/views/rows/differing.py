"""Differing rows, as `snap diff --rows` shows them: lines and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from pgsnap.cli.text import render
from pgsnap.patterns import regex
from pgsnap.workflows.diff.row_values import row_values

if TYPE_CHECKING:
    from pgsnap.rows.difference import RowChange
    from pgsnap.workflows.diff.rows import TableRows

_NUMBER = regex(r"-?\d+(?:\.\d+)?")
_CHARACTERS_SHOWN = 200
# A backslash that would form an escape with what follows it. Control characters are shown as
# escapes, and a line end must not look like the two characters \n.
_LIKE_AN_ESCAPE = regex(r"\\(?=[nrtxuU\\]|[^\x20-\x7e])")
SIGNS = {"removed": "-", "added": "+", "changed": "~"}
COLOURS = {"removed": "red", "added": "green", "changed": "yellow"}


def total(compared: TableRows) -> int:
    """Return the number of differing rows, a changed one counted once."""
    counts = compared.counts
    return counts.removed + counts.added + counts.changed


def row_fields(compared: TableRows, name: str) -> dict[str, Any]:
    """Return the --json fields apart from the rows."""
    counts = compared.counts
    return {
        "schema": compared.table[0],
        "table": compared.table[1],
        "source": name or None,
        "key": compared.key,
        "columns_before": compared.columns[0],
        "columns_after": compared.columns[1],
        "removed": counts.removed,
        "added": counts.added,
        "changed": counts.changed,
    }


def change_fields(change: RowChange, compared: TableRows) -> dict[str, Any]:
    """Return a changed row for --json: its values as text, NULL as null, None for a side without
    the row, or with one too long to be shown."""
    texts = [
        row_values(row, encoding)
        for row, encoding in zip((change.before, change.after), compared.encodings, strict=True)
    ]
    rows = [row for row in (change.before, change.after) if row is not None]
    return {
        "change": _kind(change),
        "before": texts[0],
        "after": texts[1],
        "too_long": any(row.text is None for row in rows),
    }


def change_lines(change: RowChange, compared: TableRows, *, colour: bool) -> list[str]:
    """Return a change as a line: of a changed row only the columns that differ."""
    kind = _kind(change)
    mark = render.style(SIGNS[kind], COLOURS[kind], colour)
    before = row_values(change.before, compared.encodings[0])
    after = row_values(change.after, compared.encodings[1])
    for row, found in ((change.before, before), (change.after, after)):
        if row is not None and found is None:
            return [f"{mark} a row of {render.size(row.size)}, too long to be shown"]
    if before is not None and after is not None:
        return [f"{mark} {_changed(compared, before, after)}"]
    side = 0 if after is None else 1
    return [f"{mark} {_row(compared.columns[side], before if side == 0 else after)}"]


def summary_lines(compared: TableRows, limit: int | None, *, colour: bool) -> list[str]:
    """Return the summary below the rows."""
    from pgsnap.model import quote_ident

    counts, count = compared.counts, total(compared)
    table = render.plain(".".join(quote_ident(part) for part in compared.table if part))
    if not count:
        return [f"no row of {table} differs"]
    lines = []
    if limit is not None and count > limit:
        lines.append(f"... and {render.plural(count - limit, 'more row')}: --limit 0 shows all")
    words = [
        f"{render.number(number)} {kind}"
        for kind, number in (
            ("added", counts.added),
            ("removed", counts.removed),
            ("changed", counts.changed),
        )
        if number
    ]
    lines.append(render.style(f"{table}: {', '.join(words)}", "bold", colour))
    return lines


def _kind(change: RowChange) -> str:
    if change.before is None:
        return "added"
    return "removed" if change.after is None else "changed"


def _row(columns: Sequence[str] | None, found: Sequence[str | None] | None) -> str:
    assert found is not None
    if columns is None or len(columns) != len(found):
        return ", ".join(map(shown_value, found))
    return ", ".join(
        f"{render.plain(name)}={shown_value(value)}"
        for name, value in zip(columns, found, strict=True)
    )


def _changed(compared: TableRows, before: Sequence[str | None], after: Sequence[str | None]) -> str:
    first, second = compared.columns
    if first is None or second is None or (len(first), len(second)) != (len(before), len(after)):
        # Without a key nothing is a change, and a key needs columns; rows may be malformed.
        pairs = zip_longest(map(shown_value, before), map(shown_value, after), fillvalue="")
        return ", ".join(f"{old} -> {new}" for old, new in pairs if old != new)
    old = dict(zip(first, before, strict=True))
    new = dict(zip(second, after, strict=True))
    key = ", ".join(f"{render.plain(name)}={shown_value(new[name])}" for name in compared.key)
    words = []
    for name in dict.fromkeys([*first, *second]):
        if name not in new:
            words.append(f"{render.plain(name)}: {shown_value(old[name])} -> (no column)")
        elif name not in old:
            words.append(f"{render.plain(name)}: (no column) -> {shown_value(new[name])}")
        elif old[name] != new[name]:
            words.append(f"{render.plain(name)}: {apart(old[name], new[name])}")
    return f"{key}: {', '.join(words) or 'columns in another order'}"


def apart(old: str | None, new: str | None) -> str:
    """Return two values so that their difference is visible, even far from their beginnings."""
    start = 0
    if old is not None and new is not None and max(len(old), len(new)) > _CHARACTERS_SHOWN:
        same = next(
            (i for i, pair in enumerate(zip(old, new, strict=False)) if pair[0] != pair[1]),
            min(len(old), len(new)),
        )
        start = max(same - _CHARACTERS_SHOWN // 4, 0)
    return f"{shown_value(old, start)} -> {shown_value(new, start)}"


def shown_value(value: str | None, start: int = 0) -> str:
    """Return a value for display from the character *start*, shortened."""
    if value is None:
        return "NULL"
    if _NUMBER.fullmatch(value) and len(value) <= _CHARACTERS_SHOWN:
        return value
    part = value[start : start + _CHARACTERS_SHOWN]
    words = render.plain(_LIKE_AN_ESCAPE.sub(r"\\\\", part)).replace("'", "''")
    left_out = len(value) - len(part)
    before = "..." if start else ""
    if not left_out:
        return f"'{words}'"
    after = "..." if start + len(part) < len(value) else ""
    return f"'{before}{words}{after}' ({render.plural(len(value), 'character')})"
