"""Every row of docs/failures.md and docs/security.md that names a test names one that exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def rows(page: str) -> list[tuple[str, str]]:
    """Return the first and the last cell of each row of the tables that have a column "test"."""
    found = []
    in_table = False
    for line in (ROOT / "docs" / page).read_text().splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not line.startswith("|"):
            in_table = False
        elif cells[-1] == "test":
            in_table = True
        elif in_table and set(line) - set("|- "):
            found.append((cells[0], cells[-1]))
    return found


@pytest.mark.parametrize(("page", "least"), [("failures.md", 20), ("security.md", 15)])
def test_every_row_names_a_test_that_exists(page: str, least: int) -> None:
    there = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(), re.M)
    }
    assert len(rows(page)) > least
    for what, cell in rows(page):
        names = re.findall(r"`(test_\w+)`", cell)
        assert names, f'"{what}" names no test'
        assert set(names) <= there, f'"{what}": {sorted(set(names) - there)}'


def test_every_table_of_commit_and_restore_has_its_tests() -> None:
    text = (ROOT / "docs" / "failures.md").read_text()
    for heading in re.findall(r"^\| killed or failed .*$", text, re.M):
        assert heading.endswith("| test |")
