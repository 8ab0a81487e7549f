"""A section without a digest of its own is compared with its leaf digest by the list of leaves."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from pgsnap.model import ChunkerParams, Section
from pgsnap.repository.repository import Repository
from pgsnap.repository.sections.text_check import LeafListCheck, TextCheck, quick_check
from support.repositories.blocks import BlockTable, stored


@pytest.fixture(autouse=True)
def small_chunks(repo: Repository) -> None:
    repo.config = replace(repo.config, chunker=ChunkerParams(2048, 8192, 32_768))


@pytest.fixture
def table() -> BlockTable:
    found = BlockTable(random.Random(3))
    found.grow(600)
    return found


@pytest.fixture
def section(repo: Repository, table: BlockTable) -> Section:
    full = stored(repo, table)
    assert full.leaves is not None, "the table is too small for a list"
    return replace(full, digest=None)


def is_right(check: TextCheck | LeafListCheck, text: bytes, step: int) -> bool:
    for start in range(0, len(text), step):
        check.update(text[start : start + step])
    return check.is_right()


@pytest.mark.parametrize("step", [997, 60_000, 10**9])
def test_only_the_sections_own_text_is_right(
    repo: Repository, table: BlockTable, section: Section, step: int
) -> None:
    text = table.text
    middle = len(text) // 2
    flipped = text[:middle] + bytes([text[middle] ^ 1]) + text[middle + 1 :]
    for other in (flipped, text[:-1], text + b"x", text[1:], text[:middle], b"", text + text):
        check = quick_check(repo.chunks, section)
        assert isinstance(check, LeafListCheck)
        assert not is_right(check, other, step)
    assert is_right(quick_check(repo.chunks, section), text, step)


def test_without_a_sound_list_leaves_are_looked_for(
    repo: Repository, table: BlockTable, section: Section
) -> None:
    other = BlockTable(random.Random(4))
    other.grow(600)
    lists = (None, stored(repo, other).leaves)
    for leaves in lists:
        check = quick_check(repo.chunks, replace(section, leaves=leaves))
        assert isinstance(check, TextCheck)
        assert is_right(check, table.text, 60_000)
    wrong = quick_check(repo.chunks, replace(section, leaf_digest=b"\0" * 32))
    assert not is_right(wrong, table.text, 60_000)
