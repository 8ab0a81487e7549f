"""Reads the SQL that a page of docs/ tells people to run."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).resolve().parents[3] / "docs"


def sql_blocks(page: str) -> dict[str, str]:
    """Return the SQL blocks of a page by the title after their opening fence."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return dict(re.findall(r"^```sql (.+?)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
