"""Values -> text for people, and values -> JSON. Pure: the current time is an argument."""

from __future__ import annotations

import functools
import json
import unicodedata
from collections.abc import KeysView, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pgsnap.patterns import regex
from pgsnap.words import SHORT_ID_CHARS as SHORT_ID_CHARS
from pgsnap.words import ago as ago
from pgsnap.words import clock as clock
from pgsnap.words import first_line as first_line
from pgsnap.words import number as number
from pgsnap.words import plain as plain
from pgsnap.words import plural as plural
from pgsnap.words import rate as rate
from pgsnap.words import seconds as seconds
from pgsnap.words import short_id as short_id
from pgsnap.words import size as size

_STYLED = regex("\x1b\\[[0-9]*m")
_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}


def width(text: str) -> int:
    """Return how many terminal cells *text* takes; the codes of `style` take none."""
    text = unstyled(text)
    if text.isascii():
        return len(text)
    cells = 0
    for character in text:
        if unicodedata.combining(character):
            continue
        cells += 2 if unicodedata.east_asian_width(character) in "WF" else 1
    return cells


def columns(rows: Sequence[Sequence[str]], *, right: frozenset[int] = frozenset()) -> list[str]:
    """Return *rows* as aligned lines, columns two spaces apart, those in *right* right-aligned."""
    if not rows:
        return []
    padded = [
        _padded([row[place] for row in rows], flush_right=place in right)
        for place in range(len(rows[0]))
    ]
    return ["  ".join(cells).rstrip() for cells in zip(*padded, strict=True)]


def _padded(cells: Sequence[str], *, flush_right: bool) -> list[str]:
    """Return the cells of a column, padded to the same width."""
    widths = [width(cell) for cell in cells]
    most = max(widths)
    spaces = [" " * (most - one) for one in widths]
    if flush_right:
        return [space + cell for space, cell in zip(spaces, cells, strict=True)]
    return [cell + space for cell, space in zip(cells, spaces, strict=True)]


def pairs(items: Sequence[tuple[str, str]], indent: str = "") -> list[str]:
    """Return ``name:  value`` lines with aligned values; further lines of a value are indented."""
    span = max((width(name) for name, _ in items), default=0) + 3
    lines = []
    for name, value in items:
        head, *rest = value.split("\n")
        lines.append(f"{indent}{name + ':':<{span}}{head}".rstrip())
        lines += [f"{indent}{'':<{span}}{line}".rstrip() for line in rest]
    return lines


def indented(text: str, by: str = "    ") -> list[str]:
    """Return the lines of a message, indented."""
    return [f"{by}{plain(line)}".rstrip() for line in text.strip().splitlines()]


def style(text: str, name: str, on: bool) -> str:
    """Return *text* in a terminal style if *on*."""
    return f"\x1b[{_STYLES[name]}m{text}\x1b[0m" if on else text


def unstyled(text: str) -> str:
    """Return *text* without the codes of `style`."""
    return _STYLED.sub("", text) if "\x1b" in text else text


def json_time(moment: datetime) -> str:
    """Return *moment* as ISO 8601 in UTC, with Z; fractions only if not zero."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def as_json(value: Any) -> Any:
    """Return *value* as --json prints it: times in UTC, ids and digests in hexadecimal, seconds
    and ratios to three decimals, a dataclass as an object of its fields."""
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, dict):
        return {name: as_json(inner) for name, inner in value.items()}
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, float):
        return round(value, 3)
    if isinstance(value, datetime):
        return json_time(value)
    if isinstance(value, Path):
        return str(value)
    return as_json(fields_of(value)) if is_dataclass(value) else [as_json(one) for one in value]


def fields_of(report: Any, **names: str) -> dict[str, Any]:
    """Return the fields of a dataclass, by their own names or as renamed in *names*; "" leaves one
    out."""
    own = _field_names(report.__class__)
    assert names.keys() <= own, names
    return {shown: getattr(report, name) for name in own if (shown := names.get(name, name))}


@functools.cache
def _field_names(kind: Any) -> KeysView[str]:
    return {field.name: None for field in fields(kind)}.keys()


def json_text(value: Any) -> str:
    """Return *value* as one JSON text. ASCII, so that it is valid in every locale."""
    return json.dumps(as_json(value), indent=2, ensure_ascii=True)
