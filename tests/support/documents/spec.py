"""docs/format.md as data: its tables, and the codes that stand in its sentences."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
FORMAT = ROOT / "docs" / "format.md"


@dataclass(frozen=True)
class Row:
    """A row of a table of fields."""

    number: int
    name: str
    value: str

    @property
    def is_ignorable(self) -> bool:
        return "ignorable" in self.value


def section(heading: str) -> str:
    """Return the text under *heading*, up to the next heading of its level or above."""
    text = FORMAT.read_text("utf-8")
    match = re.search(rf"^(#+) {re.escape(heading)}$", text, re.MULTILINE)
    assert match, f'docs/format.md has no heading "{heading}"'
    rest = text[match.end() :]
    end = re.search(rf"^#{{1,{len(match[1])}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest


def tables(heading: str) -> list[list[list[str]]]:
    """Return the tables under *heading*: rows of cells, without head and rule."""
    found: list[list[list[str]]] = []
    inside = False
    for line in section(heading).splitlines():
        if not line.startswith("|"):
            inside = False
            continue
        if not inside:
            found.append([])
            inside = True
        found[-1].append([cell.strip() for cell in line.strip().strip("|").split("|")])
    return [rows[2:] for rows in found]


def fields(heading: str, position: int = 0) -> list[Row]:
    """Return the rows of the n-th table under *heading*, a table of fields."""
    return [Row(int(row[0]), row[1], row[2]) for row in tables(heading)[position]]


def listed_fields(heading: str) -> list[Row]:
    """Return the fields that a sentence lists: "1 label (text), 3 / 4 chunk bytes minimum / …"."""
    words = " ".join(section(heading).split())
    listed = re.search(r"Envelope kind `\w`: (.*?)\.(?: [A-Z]|$)", words)
    assert listed, f"no list of fields under {heading}"
    found = []
    for item in re.split(r", (?=\d)", listed[1]):
        match = re.match(r"([\d /]+) ([^(]+)(.*)", item)
        assert match, item
        numbers = [int(number) for number in match[1].split("/")]
        # "3 / 4 / 5 chunk bytes minimum / average / maximum": the last words take turns.
        stem, _, first = match[2].strip().partition(" / ")[0].rpartition(" ")
        turns = [first, *match[2].strip().split(" / ")[1:]]
        for number, turn in zip(numbers, turns, strict=True):
            found.append(Row(number, f"{stem} {turn}".strip(), match[3]))
    return found


def codes(heading: str, name: str) -> dict[int, str]:
    """Return the codes of a column of a table: "u8 each: 0 data, 1 recipe node" -> {0: "data"}."""
    (row,) = [row for row in fields(heading) if row.name == name]
    listed = row.value.partition(":")[2]
    return {int(match[1]): match[2].strip() for match in re.finditer(r"(\d+) ([^,]+)", listed)}


def quoted(heading: str, *, until: str) -> list[str]:
    """Return the words in backquotes under *heading*, up to *until*."""
    return re.findall(r"`([^`]+)`", section(heading).partition(until)[0])
