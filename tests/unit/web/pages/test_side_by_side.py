from __future__ import annotations

from pgsnap.web.pages.side_by_side import LINES_MAX, Line, side_by_side


def test_what_differs_stands_beside_each_other_with_some_lines_around() -> None:
    old = [f"line {i}" for i in range(40)]
    new = [*old[:20], "other", "more", *old[21:]]
    found = side_by_side("\n".join(old), "\n".join(new))
    assert found[0] == Line("skipped", skipped=17)
    assert [line.before for line in found[1:4]] == old[17:20]
    assert found[4:6] == (Line("changed", "line 20", "other"), Line("changed", None, "more"))
    assert found[-1] == Line("skipped", skipped=16)
    assert len(found) == 10


def test_a_text_that_one_side_lacks_is_all_changed() -> None:
    assert side_by_side(None, "a\nb") == (Line("changed", None, "a"), Line("changed", None, "b"))
    assert side_by_side("a", None) == (Line("changed", "a", None),)


def test_of_a_long_text_the_beginning_is_shown_and_that_it_is_cut() -> None:
    found = side_by_side(None, "\n".join(map(str, range(5_000))))
    assert len(found) == LINES_MAX + 1
    assert found[-1] == Line("cut")
    # The difference is beyond what is compared.
    same = [str(i) for i in range(5_000)]
    assert side_by_side("\n".join(same), "\n".join([*same, "x"]))[-1] == Line("cut")
