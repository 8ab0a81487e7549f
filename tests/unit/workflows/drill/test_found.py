"""What a drill's checks come to: an error of ours fails its check, and nothing else."""

from __future__ import annotations

import pytest

from pgsnap.errors import ConnectionFailed, Interrupted, RestoreFailed, SnapError
from pgsnap.model import Finding, Verdict
from pgsnap.workflows.drill.found import Found, all_skipped, checked
from pgsnap.workflows.drill.report import Recovery, failed, passed

RECOVERY = Recovery(1.0, 10, 2, {"load": 1.0})


def raising(error: SnapError) -> Finding:
    raise error


@pytest.mark.parametrize(
    ("found", "status", "is_conclusive", "recovery"),
    [
        (checked("tools", lambda: passed("fit")), Verdict.PASSED, True, None),
        (checked("tools", lambda: failed("do not")), Verdict.FAILED, True, None),
        (
            checked("restore", lambda: (passed("done"), Found(recovery=RECOVERY))),
            Verdict.PASSED,
            True,
            RECOVERY,
        ),
        (checked("restore", lambda: raising(RestoreFailed("no"))), Verdict.FAILED, True, None),
        (
            checked("restore", lambda: raising(ConnectionFailed("gone"))),
            Verdict.FAILED,
            False,
            None,
        ),
        (all_skipped("no server", "restore", "contents"), Verdict.SKIPPED, True, None),
    ],
)
def test_a_check_ends_as_its_outcome_or_error_says(
    found: Found, status: Verdict, is_conclusive: bool, recovery: Recovery | None
) -> None:
    assert found.last is status
    assert (found.is_conclusive, found.recovery) == (is_conclusive, recovery)


def test_parts_add_up_in_their_order_and_one_doubt_remains() -> None:
    parts = [
        checked("tools", lambda: raising(ConnectionFailed("gone", detail="It was there."))),
        checked("snapshot", lambda: (passed("whole"), Found(notices=("damaged besides",)))),
        checked("restore", lambda: (passed("done"), Found(recovery=RECOVERY))),
        Found(notices=("not dropped",)),
    ]
    found = sum(parts, Found())
    assert [check.check for check in found.checks] == ["tools", "snapshot", "restore"]
    gone = found.checks[0]
    assert (gone.verdict, gone.reason) == (Verdict.FAILED, "gone")
    assert gone.details == ("It was there.",)
    assert found.notices == ("damaged besides", "not dropped")
    assert found.recovery == RECOVERY
    assert not found.is_conclusive


def test_an_interrupt_is_no_failed_check() -> None:
    with pytest.raises(Interrupted):
        checked("restore", lambda: raising(Interrupted("stopped")))
