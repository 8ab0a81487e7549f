from __future__ import annotations

from pgsnap.web.pages.shown import CHARACTERS_SHOWN, numeric_columns, qualified, shown, shown_apart


def test_two_long_values_are_shown_where_they_differ() -> None:
    before, after = shown_apart("x" * 100_000 + "old", "x" * 100_000 + "new")
    assert (before.text or "").endswith("xold")
    assert (after.text or "").endswith("xnew")
    assert not before.begins
    assert before.ends
    assert before.size == "100,003 characters"
    assert len(before.text or "") <= CHARACTERS_SHOWN


def test_a_value_is_whole_unless_it_is_long() -> None:
    assert shown(None).text is None
    assert shown("x" * CHARACTERS_SHOWN).ends
    cut = shown("x" * (CHARACTERS_SHOWN + 1))
    assert (cut.begins, cut.ends, len(cut.text or "")) == (True, False, CHARACTERS_SHOWN)
    assert shown_apart(None, "a")[1].text == "a"


def test_columns_of_numbers_are_known_by_their_values() -> None:
    rows = [[shown("1"), shown("-2.50"), shown("1e"), shown(None)], [shown(None), None]]
    assert numeric_columns(rows, 5) == (True, True, False, False, False)


def test_a_table_is_named_as_in_sql() -> None:
    assert qualified(("public", "orders")) == "public.orders"
    assert qualified(("a.b", 'we"ird')) == '"a.b"."we""ird"'
    assert qualified(("", "orders")) == "orders"
