"""Values of rows as lines: what differs looks different."""

from __future__ import annotations

from itertools import combinations

import pytest

from pgsnap.cli.views.rows.differing import shown_value

VALUES = [
    *(None, "NULL", "", " ", "a\nb", "a\\nb", "a\\\nb", "a\\\\nb", "a\tb", "a\\tb", "a\x1bb"),
    *("a\\x1bb", "a\u202eb", "a\\u202eb", "it's", "it''s", "E'x'", "1", "01"),
]


def test_no_two_values_look_alike() -> None:
    for one, other in combinations(VALUES, 2):
        assert shown_value(one) != shown_value(other), (one, other)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("a\nb", "'a\\nb'"),
        ("a\\nb", "'a\\\\nb'"),
        ("a\\\nb's", "'a\\\\\\nb''s'"),
        ("C:\\dir", "'C:\\dir'"),
    ],
)
def test_only_what_looks_like_an_escape_is_escaped(value: str, shown: str) -> None:
    assert shown_value(value) == shown
