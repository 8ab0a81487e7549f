"""Lines of the audit log: sealed one by one."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgsnap.errors import CorruptionError
from pgsnap.sealing.lines import open_line, seal_line
from support.repositories.keys import FIRST, SECOND, keys

LINE = json.dumps({"command": "commit", "database": "customers"}).encode()


def test_a_line_reads_back_and_shows_nothing() -> None:
    sealed = seal_line(keys(), LINE)
    assert open_line(keys(), sealed).rstrip() == LINE
    assert b"\n" not in sealed
    assert b"customers" not in sealed


def test_no_two_lines_are_equal_and_short_ones_have_one_size() -> None:
    sealed = [seal_line(keys(), b"x" * size) for size in [*range(100)] * 2]
    assert len(set(sealed)) == 200
    assert len({len(line) for line in sealed}) == 1


def test_a_line_opens_after_a_rotation_but_not_in_another_repository() -> None:
    sealed = seal_line(keys(FIRST), LINE)
    assert open_line(keys(FIRST, SECOND), sealed).rstrip() == LINE
    for other in (keys(FIRST, repository_id="f" * 32), keys(SECOND)):
        with pytest.raises(CorruptionError):
            open_line(other, sealed)
    with pytest.raises(CorruptionError):
        open_line(keys(FIRST), seal_line(keys(FIRST, SECOND), LINE))


@given(st.binary(max_size=300))
def test_any_other_line_is_refused(line: bytes) -> None:
    with pytest.raises(CorruptionError):
        open_line(keys(), line)


@given(st.integers(0, 500), st.integers(1, 63))
def test_a_changed_character_is_found(place: int, change: int) -> None:
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    sealed = bytearray(seal_line(keys(), LINE))
    at = alphabet.index(sealed[place])
    sealed[place] = alphabet[(at + change) % 64]
    with pytest.raises(CorruptionError):
        open_line(keys(), bytes(sealed))
