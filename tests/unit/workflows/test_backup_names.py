from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from pgsnap.workflows.backup_names import backup_name, time_in_name, words_before_time

OSLO = ZoneInfo("Europe/Oslo")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("backup_20260131_020305.sql.gz", (2026, 1, 31, 2, 3, 5)),
        ("shop_2026-01-31.sql.gz", (2026, 1, 31)),
        ("dump-20260131-0200.sql", (2026, 1, 31, 2, 0)),
        ("dump-20260131.sql", (2026, 1, 31)),
        ("20260131.sql", (2026, 1, 31)),
        ("shop.2026.01.31.sql", (2026, 1, 31)),
        ("shop_2026-01-31T02:03:05Z.sql.zst", (2026, 1, 31, 2, 3, 5)),
        ("shop_2026-01-31T02:03:05.sql", (2026, 1, 31, 2, 3, 5)),
        ("shop_2026-01-31_02h03m05s.sql", (2026, 1, 31, 2, 3, 5)),
        ("shop_20260131T020305+0200.sql", (2026, 1, 31, 0, 3, 5)),
        ("shop 2026-01-31 02.03.05.sql", (2026, 1, 31, 2, 3, 5)),
        ("backup_20260131020305.sql.gz", (2026, 1, 31, 2, 3, 5)),
        ("v20240101_20260131_0203.sql", (2026, 1, 31, 2, 3)),
        ("shop_20260131_9999.sql", (2026, 1, 31)),
        ("shop_99999999_20260131.sql", (2026, 1, 31)),
        ("backup_1767225600.sql.gz", None),
        ("backup_20261331_020305.sql.gz", None),
        ("backup_20260230.sql", None),
        ("shop.sql.gz", None),
        ("build_12345678.sql", None),
    ],
)
def test_the_time_that_stands_in_a_name_is_found(
    name: str, expected: tuple[int, ...] | None
) -> None:
    wanted = datetime(*expected, tzinfo=UTC) if expected else None  # type: ignore[misc,arg-type]
    assert time_in_name(name, UTC) == wanted


def test_a_time_without_an_offset_is_one_of_the_zone() -> None:
    found = time_in_name("backup_20260731_020000.sql.gz", OSLO)
    assert found == datetime(2026, 7, 31, 0, 0, tzinfo=UTC)
    found = time_in_name("backup_20260731_020000Z.sql.gz", OSLO)
    assert found == datetime(2026, 7, 31, 2, 0, tzinfo=UTC)


def test_an_exported_name_is_read_back_as_the_same_second() -> None:
    moment = datetime(2026, 3, 29, 1, 30, 59, 999_999, tzinfo=UTC)
    for zone in (UTC, OSLO, None):
        assert time_in_name(backup_name(moment, zone), zone) == moment.replace(microsecond=0)


def test_what_stands_before_the_time_is_the_dumps_name() -> None:
    assert words_before_time("shop_2026-01-31.sql.gz") == "shop"
    assert words_before_time("20260131.sql") == ""
