"""The tables and goals of bench_incremental.py, from what it measured."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from bench_commit import FLOOR
from measure import Series
from report import MIB, Goal, Table, goal_at_most, megabytes, mib, ratio, seconds

JOBS = 2
# The first with WAL summaries.
SUMMARIES = 17
FIRST, UNCHANGED, VACUUMED = "first commit", "nothing changed", "after VACUUM"
LOCAL, RANDOM, RANDOM_1 = "0.1 % local", "0.1 % random", "1 % random"
PSQL, PG_RESTORE, RESTORE = "psql -f", "pg_restore -Fd -j2", "snap restore"
CHANGED_RANDOM = f"--changed-only after {RANDOM}"
CHANGED_DELETED = "--changed-only after half of events was deleted"
LAST_MEASURED = 3
SNAP_BYTES_MAX = 256 * MIB
JOB_BYTES_MAX = 96 * MIB


def last_of(commits: int) -> str:
    """Return the name of the measured ones of so many commits."""
    return f"{RANDOM}, commits {commits - min(LAST_MEASURED, commits) + 1} to {commits}"


def _processor_ratio(one: Series, floor: Series) -> str:
    """Return the ratio of the medians of all processor time, the server's included."""
    mine, theirs = (
        statistics.median(each.cpu_seconds + (each.server_cpu_seconds or 0) for each in series.runs)
        for series in (one, floor)
    )
    return f"{mine / theirs:.2f}"


def _floor_of(name: str, series: dict[str, Series]) -> Series:
    beside = f"{FLOOR}, beside the last"
    return series[beside if name.startswith(f"{RANDOM},") else FLOOR]


def commit_table(major: int, series: dict[str, Series]) -> Table:
    """Return what commits took and wrote, beside pg_dump."""
    rows = []
    for name, one in series.items():
        floor = one if name.startswith(FLOOR) else _floor_of(name, series)
        rows.append(
            (
                f"`{name}`" if one is floor else name,
                seconds(one.wall_seconds),
                ratio(one, floor),
                _processor_ratio(one, floor),
                seconds(one.cpu_seconds),
                seconds(one.median(lambda each: each.server_cpu_seconds)),
                mib(_total_peak(one)),
                megabytes(one.fact("stored_bytes")),
                megabytes(one.fact("wal_bytes")),
            )
        )
    header = (
        f"PostgreSQL {major}, commit",
        "seconds",
        "x floor (range)",
        "of processor time",
        "client CPU s",
        "server CPU s",
        "peak of all MiB",
        "stored",
        "WAL",
    )
    return Table(f"Commits on PostgreSQL {major}", header, tuple(rows))


def restore_table(major: int, series: dict[str, Series]) -> Table:
    """Return what restores took and wrote, beside psql."""
    floor = series[PSQL]
    rows = [
        (
            f"`{name}`",
            seconds(one.wall_seconds),
            ratio(one, floor),
            _processor_ratio(one, floor),
            mib(_total_peak(one)),
            megabytes(one.fact("wal_bytes")),
        )
        for name, one in series.items()
    ]
    header = (
        f"PostgreSQL {major}, restore",
        "seconds",
        "x psql (range)",
        "of processor time",
        "peak of all MiB",
        "WAL",
    )
    return Table(f"Restores on PostgreSQL {major}, two jobs", header, tuple(rows))


def _total_peak(series: Series) -> int | None:
    return max((one.total_peak_bytes for one in series.runs if one.total_peak_bytes), default=None)


def goals(
    major: int,
    series: dict[str, Series],
    last: dict[str, Series],
    restored: dict[str, Series],
    commits: int,
) -> Iterator[Goal]:
    """Yield the goals, each beside what was measured."""
    summarized = major >= SUMMARIES
    bounds = {
        FIRST: 0.85,
        UNCHANGED: 0.03,
        LOCAL: 0.10 if summarized else 0.15,
        RANDOM: 0.40 if summarized else 0.60,
        RANDOM_1: 0.9,
    }
    if last:
        bounds[last_of(commits)] = 0.55
    every = {**series, **last}
    for name, bound in bounds.items():
        if name != last_of(commits) or summarized:
            value = every[name].ratio_to(_floor_of(name, every))
            yield goal_at_most(f"{major}: {name}, x pg_dump: at most {bound}", value, bound)
    own = series[UNCHANGED].cpu_seconds
    yield goal_at_most(f"{major}: {UNCHANGED}: own processor time, s: at most 0.6", own, 0.6)
    peak = max((_total_peak(series[name]) or 0) for name in bounds if name in series)
    bytes_max = SNAP_BYTES_MAX + (JOBS - 1) * JOB_BYTES_MAX
    words = f"{major}: memory of all processes of a commit, MiB: at most {bytes_max // MIB}"
    yield goal_at_most(words, peak / MIB, bytes_max / MIB)
    if not restored:
        return
    beside_psql = restored[RESTORE].ratio_to(restored[PSQL])
    yield goal_at_most(f"{major}: restore, x psql: at most 0.68", beside_psql, 0.68)
    beside_peer = restored[RESTORE].ratio_to(restored[PG_RESTORE])
    yield goal_at_most(f"{major}: restore, x {PG_RESTORE}: at most 1", beside_peer, 1.0)
    for name, bound in ((CHANGED_RANDOM, 0.25), (CHANGED_DELETED, 0.45)):
        value = restored[name].ratio_to(restored[PSQL])
        yield goal_at_most(f"{major}: {name}, x psql: at most {bound}", value, bound)
    if major >= 18:
        wals = [restored[name].fact("wal_bytes") or 1 for name in (RESTORE, PSQL)]
        words = f"{major}: WAL of the restore, x psql's: at most 0.6"
        yield goal_at_most(words, wals[0] / wals[1], 0.6)
