"""The line of a check, as Nagios and NRPE take it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pgsnap.cli.views import check as check_view
from pgsnap.model import Verdict
from pgsnap.workflows.watch.check import CheckReport
from pgsnap.workflows.watch.label_states import LabelState

NOW = datetime(2026, 1, 31, tzinfo=UTC)


def report_of(count: int, text: str) -> CheckReport:
    report = CheckReport(NOW, free_bytes=2**60)
    for number in range(count):
        name = f"database_{number:04d}"
        report.labels.append(LabelState(name, None, NOW - timedelta(seconds=number), name=name))
        report.add(Verdict.FAILED, "age", text.format(name), name)
    return report


@pytest.mark.parametrize("text", ["{} is old", "{} is older than Zürich's grüße", "{}" + "é" * 900])
def test_nagios_gets_one_bounded_line_of_a_thousand_databases(text: str) -> None:
    line = check_view.line(report_of(1000, text), nagios=True)
    assert len(line.encode()) <= 1024
    assert "\n" not in line
    assert line.startswith("SNAP CRITICAL - database_0000")
    assert "see snap check" in line
    assert line.endswith(f"| 'age oldest'=999s databases=1000 free={2**60}B")


def test_what_fits_is_told_whole() -> None:
    line = check_view.line(report_of(3, "{} is old"), nagios=True)
    assert line == (
        "SNAP CRITICAL - database_0000 is old; database_0001 is old; database_0002 is old"
        " | 'age database_0000'=0s 'age database_0001'=1s 'age database_0002'=2s"
        f" free={2**60}B"
    )
