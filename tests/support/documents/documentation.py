"""Reads what docs/cli.md promises."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parents[3] / "docs" / "cli.md"


def section(title: str) -> str:
    """Return what stands under the heading *title*, down to the next heading of its level."""
    text = PAGE.read_text(encoding="utf-8")
    found = re.search(rf"^(#+) {re.escape(title)}\n", text, re.MULTILINE)
    assert found, f"docs/cli.md has no heading {title!r}"
    rest = text[found.end() :]
    end = re.search(rf"^#{{1,{len(found[1])}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest


def lines(text: str, first_column: str) -> list[str]:
    """Return the lines of the tables whose first column has this title, as they stand; empty
    cells may be written with one space or two."""
    found = []
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        rows = table.splitlines()
        if rows[0].startswith(f"| {first_column} |"):
            found += [re.sub(" +", " ", row) for row in rows[2:]]
    return found


def tables(text: str, first_column: str) -> Iterator[list[list[str]]]:
    """Yield the rows of each table whose first column has this title."""
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        rows = [re.split(r"\s*\|\s*", line.strip()[1:-1].strip()) for line in table.splitlines()]
        if rows[0][0] == first_column:
            yield [[cell.strip("`") for cell in row] for row in rows[2:]]


def options(text: str) -> set[str]:
    """Return every option that the tables of *text* name, short names too."""
    return {
        word
        for table in tables(text, "option")
        for row in table
        for word in re.findall(r"(?<![\w-])--?[a-z][a-z-]*", row[0])
    }


def fields(text: str) -> list[set[str]]:
    """Return the JSON fields of each table of them in *text*."""
    return [{row[0] for row in table} for table in tables(text, "JSON field")]


def field_names(value: Any, prefix: str = "") -> set[str]:
    """Return the names of all fields of a JSON value, as docs/cli.md writes them."""
    if isinstance(value, dict):
        found = set()
        for key, inner in value.items():
            below = field_names(inner, f"{prefix}{key}.")
            found |= below or {f"{prefix}{key}"}
        return found
    if isinstance(value, list) and value and isinstance(value[0], dict):
        stem = f"{prefix.removesuffix('.')}[]." if prefix else ""
        return set().union(*(field_names(item, stem) for item in value))
    return set()
