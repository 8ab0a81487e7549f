"""Words in the names of objects: hidden, found again, readable with the key."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgsnap.errors import CorruptionError
from pgsnap.sealing.words import open_word, seal_word, split_words
from support.repositories.keys import SECOND, keys

KEY = keys().names


@given(st.binary(min_size=1, max_size=200))
def test_a_word_reads_back(word: bytes) -> None:
    components = seal_word(KEY, word, b"label").split("/")
    assert all(re.fullmatch(r"[a-z2-7]{1,254}-?", part) for part in components)
    assert [open_word(KEY, found, b"label") for found in split_words(components)] == [word]


def test_the_same_word_has_the_same_name_and_hides_its_exact_length() -> None:
    assert seal_word(KEY, b"shop", b"label") == seal_word(KEY, b"shop", b"label")
    assert len({len(seal_word(KEY, b"x" * size, b"label")) for size in range(1, 16)}) == 1


def test_another_place_and_another_key_give_another_name() -> None:
    names = {
        seal_word(KEY, b"v1", b"label"),
        seal_word(KEY, b"v1", b"tag", b"shop"),
        seal_word(KEY, b"v1", b"tag", b"books"),
        seal_word(keys(SECOND).names, b"v1", b"label"),
    }
    assert len(names) == 4


def test_several_words_are_kept_apart() -> None:
    long = b"l" * 200
    path = [*seal_word(KEY, long, b"label").split("/"), *seal_word(KEY, b"v1", b"tag").split("/")]
    label, tag, rest = split_words([*path, "00000001"])
    assert open_word(KEY, label, b"label") == long
    assert open_word(KEY, tag, b"tag") == b"v1"
    assert rest == "00000001"


@pytest.mark.parametrize("change", [str.upper, lambda name: name[:-1], lambda name: name + "a"])
def test_another_spelling_is_refused(change: object) -> None:
    assert callable(change)
    with pytest.raises(CorruptionError, match="no name that the repository's key made"):
        open_word(KEY, change(seal_word(KEY, b"shop", b"label")), b"label")


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz234567-", max_size=100))
def test_any_name_is_refused_in_words(name: str) -> None:
    with pytest.raises(CorruptionError):
        open_word(KEY, name, b"label")
