from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pgsnap.errors import UsageError
from pgsnap.workflows.commit.backup_names import (
    Doubt,
    NameTime,
    backup_name,
    time_in_name,
    words_before_time,
)
from pgsnap.workflows.commit.name_format import NameFormat

OSLO = ZoneInfo("Europe/Oslo")


def found_in(name: str, zone: ZoneInfo | None = None) -> datetime | None:
    found = time_in_name(name, zone or UTC)
    assert not isinstance(found, Doubt), found
    return found.time if found else None


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
        ("shop_20260131T020305-0930.sql", (2026, 1, 31, 11, 33, 5)),
        ("shop_20260131T020305+02.sql", (2026, 1, 31, 0, 3, 5)),
        ("shop_2026-01-31 02:03:05 +0545.sql", (2026, 1, 30, 20, 18, 5)),
        ("shop 2026-01-31 02.03.05.sql", (2026, 1, 31, 2, 3, 5)),
        ("backup_20260131020305.sql.gz", (2026, 1, 31, 2, 3, 5)),
        ("v20240101_20260131_0203.sql", (2026, 1, 31, 2, 3)),
        ("shop_99999999_20260131.sql", (2026, 1, 31)),
        ("shop_2026-01-31T02:03:05.000Z.sql", (2026, 1, 31, 2, 3, 5)),
        ("shop_2026-01-31T02-03-05-000Z.sql", (2026, 1, 31, 2, 3, 5)),
        ("shop_2026-01-31T02:03:05.123456+00:00.sql", (2026, 1, 31, 2, 3, 5, 123456)),
        ("shop_2026-01-31T02:03:05 +0100 CET.sql", (2026, 1, 31, 1, 3, 5)),
        ("jan_2026-01-31_daily.sql", (2026, 1, 31)),
        ("shop_20260131_020305_PROD.sql", (2026, 1, 31, 2, 3, 5)),
        ("shop_20260131_020305_v2_full.sql", (2026, 1, 31, 2, 3, 5)),
        ("pg15_db-01_2026-01-31.sql", (2026, 1, 31)),
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
    assert found_in(name) == wanted


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("dump_23-06-2019_11_05_06.sql", (2019, 6, 23, 11, 5, 6)),
        ("dump_23.06.2019.sql", (2019, 6, 23)),
        ("dump_5-6-2019_1105.sql.gz", (2019, 6, 5, 11, 5)),
        ("shop_20260131_020305-0001.sql", (2026, 1, 31, 2, 3, 5)),
        ("shop_20260131_9999.sql", (2026, 1, 31)),
        ("shop_20260131.sql.1", (2026, 1, 31)),
        ("shop_2026-01-31_02.sql", (2026, 1, 31, 2)),
        ("020305_20260131.sql", (2026, 1, 31, 2, 3, 5)),
        ("02-03_2026-01-31.sql", (2026, 1, 31, 2, 3)),
        ("shop_2026-01-31_02-03-05PM.sql", (2026, 1, 31, 14, 3, 5)),
        ("shop_20260131_020305_CEST.sql", (2026, 1, 31, 2, 3, 5)),
        ("shop_20260131_020305EST.sql", (2026, 1, 31, 2, 3, 5)),
        ("shop_2026-01-01_2026-01-31.sql", (2026, 1, 31)),
        ("shop_20260131_020305_est.sql", (2026, 1, 31, 2, 3, 5)),
        ("shop_20260131_020305 NST.sql", (2026, 1, 31, 2, 3, 5)),
        ("shop_20260131T020305WIB.sql", (2026, 1, 31, 2, 3, 5)),
        ("shop_20260131_020305_UYT.sql", (2026, 1, 31, 2, 3, 5)),
        ("shop_20260131_020305_UTC2.sql", (2026, 1, 31, 2, 3, 5)),
        ("shop_20260131_020305_gmt+1.sql", (2026, 1, 31, 2, 3, 5)),
        ("shop_20260131_CET.sql", (2026, 1, 31)),
        ("shop_20260131_020305_Europe-Oslo.sql", (2026, 1, 31, 2, 3, 5)),
        ("shop_2026-01-31_America_New_York.sql", (2026, 1, 31)),
        ("shop_2026-01-31 02:03:05 p.m..sql", (2026, 1, 31, 14, 3, 5)),
        ("shop_20260131_0203p.m.sql", (2026, 1, 31, 14, 3)),
        ("Sat_Jan_12_2026-01-31.sql", (2026, 1, 31)),
        ("12-march-2026-01-31.sql", (2026, 1, 31)),
        ("2026-01-31-1705028645.sql", (2026, 1, 31)),
    ],
)
def test_a_name_that_is_not_understood_whole_is_refused_with_a_pattern_that_reads_it(
    name: str, meant: tuple[int, ...]
) -> None:
    found = time_in_name(name, UTC)
    assert isinstance(found, Doubt)
    read = NameFormat(found.pattern).time_in(name, UTC)
    assert isinstance(read, NameTime)
    assert read.time == datetime(*meant, tzinfo=UTC)  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    "word", ["Z", "UTC", "_UTC", " GMT", "-UTC", "+0000", "-0000", "+00:00", "z", "_utc", " Gmt"]
)
def test_a_zone_behind_a_time_beats_the_zone_of_the_names(word: str) -> None:
    for time in ("20260731_020000", "2026-07-31T02:00:00", "2026-07-31T02:00:00.000"):
        assert found_in(f"shop_{time}{word}.sql", OSLO) == datetime(2026, 7, 31, 2, 0, tzinfo=UTC)


def test_a_word_for_utc_behind_a_date_alone_counts_too() -> None:
    for word in ("Z", "_UTC", " gmt"):
        assert found_in(f"shop_2026-07-31{word}.sql", OSLO) == datetime(2026, 7, 31, tzinfo=UTC)


def test_a_time_without_an_offset_is_one_of_the_zone() -> None:
    assert found_in("backup_20260731_020000.sql.gz", OSLO) == datetime(
        2026, 7, 31, 0, 0, tzinfo=UTC
    )


def test_a_time_in_the_hour_that_was_skipped_is_refused() -> None:
    found = time_in_name("shop_20260329_023000.sql", OSLO)
    assert isinstance(found, Doubt)
    assert "put forward" in found.why
    assert found_in("shop_20260329_023000Z.sql", OSLO) == datetime(2026, 3, 29, 2, 30, tzinfo=UTC)
    # The first of an hour that comes twice.
    assert found_in("shop_20261025_023000.sql", OSLO) == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("shop_%s", "shop_1767225600.sql.gz", (2026, 1, 1)),
        ("%d-%b-%Y*", "31-Jan-2026_x.sql", (2026, 1, 31)),
        ("*%y%m%d", "shop260131.sql", (2026, 1, 31)),
        ("*_%Y-%m-%d_%I-%M%p", "a_2026-01-31_12-03AM.sql", (2026, 1, 31, 0, 3)),
        ("*_%Y%m%d_%H%M%S%z", "a_20260131_020305+02:00.dump", (2026, 1, 31, 0, 3, 5)),
        ("100%%_%Y%m%d*", "100%_20260131_77.sql", (2026, 1, 31)),
        ("*%Y%m%d*", "a_120260131.sql", None),
        ("*%Y%m%d*", "20240101_shop01_020305.sql", (2024, 1, 1)),
        ("db*%Y-%m-%d*2", "db1-2026-01-31-2.sql", (2026, 1, 31)),
        ("shop_%Y%m%d", "shop_20260131_02.sql", None),
    ],
)
def test_a_pattern_reads_a_name_whole(
    pattern: str, name: str, expected: tuple[int, ...] | None
) -> None:
    found = NameFormat(pattern).time_in(name, UTC)
    if expected is None:
        assert not isinstance(found, NameTime)
    else:
        assert isinstance(found, NameTime)
        assert found.time == datetime(*expected, tzinfo=UTC)  # type: ignore[misc,arg-type]


@pytest.mark.parametrize("pattern", ["", "shop", "%Y-%m", "%Y%Y%m%d", "%Y%m%d%", "%Y%m%d%Q", "%I"])
def test_a_pattern_that_names_no_date_is_refused(pattern: str) -> None:
    with pytest.raises(UsageError, match="--name-format"):
        NameFormat(pattern)


BITS = st.sampled_from(
    [
        *("2026", "01", "31", "20260131", "020305", "-", "_", ".", "T", " ", "Z", "UTC", "+0200"),
        *(
            "-0001",
            "+05:30",
            "am",
            "PM",
            "p.m.",
            "CEST",
            "utc",
            "Europe-Oslo",
            "Jan",
            "shop",
            "v2",
            ":",
            "9",
            "000",
            "é",
            ".sql",
            "@",
        ),
    ]
)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(BITS, max_size=9).map("".join))
def test_any_name_is_read_or_doubted_and_no_number_beside_a_time_is_passed_over(name: str) -> None:
    found = time_in_name(name, UTC)
    assert found is None or isinstance(found, Doubt | NameTime)
    if isinstance(found, NameTime):
        # However the time is written, the same name with a number behind it is in doubt.
        assert isinstance(time_in_name(f"{name}_7", UTC), Doubt)


def test_an_exported_name_is_read_back_as_the_same_second() -> None:
    moment = datetime(2026, 3, 29, 1, 30, 59, 999_999, tzinfo=UTC)
    for zone in (UTC, OSLO, None):
        found = time_in_name(backup_name(moment, zone), zone)
        assert isinstance(found, NameTime)
        assert found.time == moment.replace(microsecond=0)


def test_what_stands_before_the_time_is_the_dumps_name() -> None:
    assert words_before_time("shop_2026-01-31.sql.gz") == "shop"
    assert words_before_time("20260131.sql") == ""
