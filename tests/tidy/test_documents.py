"""What the documents name is there: tests, and pages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.documents.contents import long_pages, with_contents

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("*/README.md")])


def _test_names() -> set[str]:
    names: set[str] = set()
    for path in ROOT.glob("tests/**/*.py"):
        names.update(re.findall(r"def (test_\w+)", path.read_text()))
        names.add(path.stem)
    return names


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_test_that_a_document_names_exists(document: Path) -> None:
    named = set(re.findall(r"`(test_\w+)`", document.read_text()))
    assert named <= _test_names()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_page_that_a_document_links_exists(document: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text()):
        if "://" not in link:
            assert (document.parent / link).exists(), link


def test_the_site_has_every_page() -> None:
    """Its builder reports links without a page, but no page without a place in the navigation."""
    named = re.findall(
        r": (\S+\.md)$|- (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE
    )
    pages = {*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "benchmarks" / "README.md"}
    assert {"".join(one) for one in named} == {str(path.relative_to(ROOT)) for path in pages}


@pytest.mark.parametrize("page", long_pages(), ids=lambda path: path.name)
def test_a_long_page_has_contents(page: Path) -> None:
    text = page.read_text("utf-8")
    assert text == with_contents(text), "run `python tests/support/documents/contents.py`"
