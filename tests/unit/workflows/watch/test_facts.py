"""What check and doctor both look at: when it is well, when it is warned of, when it has failed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pgsnap.model import Verdict
from pgsnap.workflows.watch import facts
from pgsnap.workflows.watch.label_states import LabelState

NOW = datetime(2026, 1, 31, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("drilled", "passed", "verdict", "words"),
    [
        (None, None, Verdict.WARNED, "shop never had a drill"),
        (NOW - 7 * DAY, True, Verdict.PASSED, "the last drill of shop was 7 d ago"),
        (NOW - 8 * DAY, True, Verdict.WARNED, "the last drill of shop was 8 d ago (more than 7 d)"),
        (NOW - 8 * DAY, False, Verdict.FAILED, "the last drill of shop failed 8 d ago: rows"),
    ],
)
def test_a_drill_is_young_and_passed_or_something_is_to_be_done(
    drilled: datetime | None, passed: bool | None, verdict: Verdict, words: str
) -> None:
    why = "rows" if passed is False else ""
    state = LabelState("shop", drilled=drilled, drill_passed=passed, name="shop", drill_reason=why)
    found = facts.drill(state, NOW, 7 * DAY)
    assert (found.verdict, found.database) == (verdict, "shop")
    assert " ".join((found.reason, *found.details)) == words


@pytest.mark.parametrize(
    ("time", "verdict", "reason"),
    [
        (None, Verdict.FAILED, ""),
        (NOW - 7 * DAY, Verdict.PASSED, "shop is 7 d old"),
        (NOW - 8 * DAY, Verdict.FAILED, "shop is 8 d old"),
    ],
)
def test_a_label_without_a_young_snapshot_has_failed(
    time: datetime | None, verdict: Verdict, reason: str
) -> None:
    found = facts.age(LabelState("shop", time=time, name="shop"), NOW, 7 * DAY)
    assert (found.verdict, found.reason) == (verdict, reason)
