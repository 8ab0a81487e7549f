"""A condition on rows has to be one expression that nothing leads out of."""

from __future__ import annotations

import pytest

from pgsnap.targets.tables.condition import flaw_of


@pytest.mark.parametrize(
    "condition",
    [
        "id in (1, 2)",
        "a = 'x;)' and b = 'it''s'",
        r"a = E'\';)' or n = e'\\'",
        "$$;)$$ = a and b = $x$ ; $$ $x$",
        'a$b$ = 1 or "a;"")" = 2',
        "/* a; /* ) */ ; */ 1 = 1 -- )",
        "é$$ = 1",
    ],
)
def test_an_expression_is_taken(condition: str) -> None:
    assert flaw_of(condition) is None


@pytest.mark.parametrize(
    ("condition", "flaw"),
    [
        (" ", "it is empty"),
        ("-- x", "it is empty"),
        ("id = 1;", "semicolon"),
        ("true); drop table x; --", "closed in it that was not opened"),
        ("1) or (1", "closed in it that was not opened"),
        ("(id = 1", "not closed"),
        ("'abc", "a string in it does not end"),
        ('"a', "a quoted name in it does not end"),
        ("a = $$ x", "dollar quotes"),
        ("/* /* */ x", "a comment in it does not end"),
        # What the server takes for strings must be taken for the same ones here.
        ("1$$ ' $$ ; drop table x; -- '", "semicolon"),
        ("E'a'\n'\\' ' ) ; drop table x; --'", "goes on after its end"),
        ("é$$ ; drop table x; --$$", "semicolon"),
    ],
)
def test_what_is_more_or_less_than_an_expression_is_not_taken(condition: str, flaw: str) -> None:
    assert flaw in (flaw_of(condition) or "")
