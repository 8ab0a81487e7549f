"""The contents of long pages: `python tests/support/documents/contents.py` writes them again."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
LINES_MIN = 200
_TITLE = "**Contents:** "
_COMMAND = "snap "


def long_pages() -> list[Path]:
    """Return the pages that need contents: those of docs/ that are longer than a reader scrolls."""
    pages = sorted(ROOT.glob("docs/*.md"))
    return [page for page in pages if len(page.read_text("utf-8").splitlines()) > LINES_MIN]


def with_contents(text: str) -> str:
    """Return the page with contents before its first section, in place of those that it has."""
    text = re.sub(rf"^{re.escape(_TITLE)}(?:.+\n)+\n", "", text, flags=re.MULTILINE)
    before, mark, rest = text.partition("\n## ")
    links = " · ".join(_link(title) for title in _titles(text))
    # A link is not broken: its spaces are none until the lines are.
    kept = re.sub(r"\[[^]]+\]", lambda found: found[0].replace(" ", "\0"), links)
    lines = textwrap.wrap(_TITLE + kept, 130, break_long_words=False, break_on_hyphens=False)
    return before + "\n" + "\n".join(lines).replace("\0", " ") + "\n" + mark + rest


def _titles(text: str) -> list[str]:
    """Return the titles of sections, and of those about a command."""
    without_code = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    found = re.findall(r"^(##|###) (.+)$", without_code, re.MULTILINE)
    return [title for mark, title in found if mark == "##" or title.startswith(_COMMAND)]


def _link(title: str) -> str:
    shown = title.replace("`", "")
    anchor = re.sub(r"[^\w -]", "", shown.lower()).replace(" ", "-")
    return f"[{shown}](#{anchor})"


if __name__ == "__main__":
    for page in long_pages():
        page.write_text(with_contents(page.read_text("utf-8")), encoding="utf-8")
