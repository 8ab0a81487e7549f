"""The shape of a JSON value: its names in their order, and of what kind each value is."""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[2] / "data" / "json_shapes"
# Set, the shapes are written instead of compared: look at the difference before you commit it.
WRITE = "WRITE_SHAPES"

_TEXTS = (
    ("id", re.compile(r"[0-9a-f]{64}")),
    ("time", re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")),
    ("local time", re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?\+\d\d:\d\d")),
    ("path", re.compile(r"/.*")),
    ("empty", re.compile("")),
)
_KINDS = {bool: "bool", int: "int", float: "float", type(None): "null"}
# What differs with the machine or the version of PostgreSQL.
_ANY = re.compile(
    r"(^|\.)(notices|warnings|sudo_user|host|reason|hint|detail|details|bytes_read|longest_.*)$"
    r"|properties\.(locale|locale_provider|icu_rules|collation_version|acl|settings|extensions)"
)


def kind_of(value: Any) -> str:
    """Return what a single value is."""
    if isinstance(value, str):
        return next((name for name, form in _TEXTS if form.fullmatch(value)), "text")
    return _KINDS[type(value)]


def shape_of(value: Any, name: str = "") -> dict[str, set[str]]:
    """Return the kinds of value of each name, the names as docs/cli.md writes them."""
    if _ANY.search(name):
        return {name: {"list" if isinstance(value, list) else "any"}}
    if isinstance(value, dict) and value:
        found: dict[str, set[str]] = {}
        for key, inner in value.items():
            found |= shape_of(inner, f"{name}.{key}" if name else key)
        return found
    if isinstance(value, list) and value:
        found = {}
        for item in value:
            for key, kinds in shape_of(item, f"{name}[]").items():
                found.setdefault(key, set()).update(kinds)
        return found
    return {
        name: {"empty object"}
        if value == {}
        else {"empty list"}
        if value == []
        else {kind_of(value)}
    }


def compare(scene: str, values: dict[str, Any]) -> None:
    """Compare the shapes of *values*, by what gave them, with those stored for *scene*."""
    lines = []
    for title, value in values.items():
        lines.append(f"# {title}")
        lines += [
            f"{name}: {' or '.join(sorted(kinds))}" for name, kinds in shape_of(value).items()
        ]
        lines.append("")
    path = FOLDER / f"{scene}.txt"
    text = "\n".join(lines)
    if os.environ.get(WRITE):
        path.write_text(text)
    stored = path.read_text()
    difference = difflib.unified_diff(stored.splitlines(), text.splitlines(), lineterm="")
    assert text == stored, "\n".join(difference)
