"""`patterns.regex` does what `re.compile` does, when the pattern is used."""

from __future__ import annotations

import importlib
import pkgutil
import re
from typing import Any

import pytest

import pgsnap
from pgsnap import patterns
from pgsnap.patterns import regex

REAL = re.compile


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Return what is compiled from now on."""
    found: list[object] = []

    def compile_noted(pattern: Any, flags: int = 0) -> Any:
        found.append(pattern)
        return REAL(pattern, flags)

    monkeypatch.setattr(patterns.re, "compile", compile_noted)
    return found


def test_a_pattern_is_compiled_when_it_is_used_and_once(compiled: list[object]) -> None:
    word, other = regex(r"(?P<first>[a-z])[a-z]*"), regex("b")
    assert compiled == []
    for _ in range(2):
        assert [each["first"] for each in word.finditer("one two")] == ["o", "t"]
        assert word.fullmatch("one two") is None
        assert word.sub("x", "one 2") == "x 2"
    assert (word.groups, word.pattern) == (1, r"(?P<first>[a-z])[a-z]*")
    assert compiled == [word.pattern]
    assert other.match("b")


def test_flags_and_bytes_are_taken_as_by_re() -> None:
    assert regex("a.b", re.I | re.S).fullmatch("A\nB")
    found = regex(rb"^x+", re.M).search(b"a\nxx")
    assert found is not None
    assert found[0] == b"xx"


def test_a_wrong_pattern_is_an_error_where_it_is_used() -> None:
    wrong = regex("(")
    with pytest.raises(re.error):
        wrong.match("")
    with pytest.raises(AttributeError, match="nothing"):
        _ = regex("a").nothing  # type: ignore[attr-defined]


def test_every_pattern_of_the_package_can_be_compiled() -> None:
    """A wrong one would be an error only where it is used."""
    made = 0
    for found in pkgutil.walk_packages(pgsnap.__path__, "pgsnap."):
        if not found.name.endswith("__main__"):
            for value in vars(importlib.import_module(found.name)).values():
                each = [value] if isinstance(value, patterns._Late) else []
                each += value if isinstance(value, tuple | list) else []
                each += value.values() if isinstance(value, dict) else []
                made += sum(one.groups >= 0 for one in each if isinstance(one, patterns._Late))
    assert made > 200
