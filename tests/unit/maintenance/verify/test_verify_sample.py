"""Verify in parts: what a sample reads, what is remembered, what stops it."""

from __future__ import annotations

import itertools
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pgsnap.errors import UsageError
from pgsnap.maintenance.verify.read_history import SampleSize
from pgsnap.maintenance.verify.verify import VerifyReport, verify
from pgsnap.repository.repository import Repository
from support.dumps.scripted import shop
from support.faults.damaging import flip
from support.repositories.made import make, record

PACKS = 12
TENTH = SampleSize(share=0.1)


@pytest.fixture(scope="module")
def never_read(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of PACKS packs: never change it, change copies."""
    found = make(tmp_path_factory.mktemp("never-read") / "backups")
    with Repository.open(found) as repo:
        for number in range(PACKS):
            record(repo, shop(100 + 10 * number, seed=100 * number), database=f"db{number}")
    return found


@pytest.fixture
def path(tmp_path: Path, never_read: Path) -> Path:
    return shutil.copytree(never_read, tmp_path / "backups")


def packs(path: Path) -> list[Path]:
    return sorted(file for file in (path / "packs").rglob("*") if file.is_file())


def read(path: Path, size: SampleSize = TENTH) -> VerifyReport:
    with Repository.open(path) as repo:
        return verify(repo, sample=size)


def ticking() -> Callable[[], float]:
    """Return a clock that goes on by a second each time it is looked at."""
    seconds = itertools.count()
    return lambda: float(next(seconds))


def verdicts(path: Path) -> int:
    with Repository.open(path) as repo:
        return len(repo.notes("verdict"))


def test_ten_samples_of_a_tenth_read_everything_and_then_begin_anew(path: Path) -> None:
    total = sum(file.stat().st_size for file in packs(path))
    left = total
    read_so_far = 0
    for _ in range(10):
        report = read(path)
        assert report.data
        assert report.is_complete
        assert not report.everything_read
        assert (
            total / 10
            <= report.bytes_read
            <= total / 10 + max(file.stat().st_size for file in packs(path))
        )
        assert report.packs == PACKS
        assert report.state.never_bytes <= left
        left = report.state.never_bytes
        read_so_far += report.packs_read
    assert (report.state.never, left) == (0, 0)
    assert report.state.oldest is not None
    assert read_so_far >= PACKS
    again = read(path)
    assert again.state.oldest is not None
    assert again.state.oldest > report.state.oldest
    assert verdicts(path) == 0


def test_a_damaged_pack_is_found_within_ten_samples_stays_red_and_holds_up_no_other(
    path: Path,
) -> None:
    # Far larger than a tenth: were it always first, nothing else would ever be read.
    with Repository.open(path) as repo:
        record(repo, shop(4000), database="large")
    file = max(packs(path), key=lambda file: file.stat().st_size)
    flip(file, file.stat().st_size // 3)
    found = [read(path) for _ in range(10)]
    kinds = [finding.kind for report in found for finding in report.findings]
    assert "pack" in kinds
    assert "section" in kinds
    assert found[-1].state.never == 1
    red = [bool(report.findings) for report in found]
    assert all(red[red.index(True) :])


def test_verify_data_counts_as_reading_and_a_dropped_pack_is_forgotten(path: Path) -> None:
    with Repository.open(path) as repo:
        report = verify(repo, data=True)
        assert report.everything_read
        assert report.is_complete
        assert (report.packs_read, report.state.never) == (PACKS, 0)
        assert report.bytes_read == report.pack_bytes
        repo.index.drop_pack(next(iter(repo.index.packs())))
        ((count,),) = repo.index.query("SELECT count(*) FROM pack_reads")
    assert count == PACKS - 1
    assert verdicts(path) == PACKS


def test_without_data_nothing_is_remembered(path: Path) -> None:
    with Repository.open(path) as repo:
        report = verify(repo)
    assert (report.packs_read, report.state.never, report.state.oldest) == (0, PACKS, None)


def test_a_sample_in_bytes_has_a_little_more_and_one_larger_than_all_has_all(path: Path) -> None:
    size = packs(path)[0].stat().st_size
    some = read(path, SampleSize(byte_count=size))
    assert some.packs_read < PACKS
    assert size <= some.bytes_read
    assert read(path, SampleSize(byte_count=10**12)).state.never == 0


def test_when_the_time_is_over_the_reading_stops_and_the_next_run_goes_on(path: Path) -> None:
    seen = 0
    with Repository.open(path) as repo:
        for run in range(1, math.ceil(PACKS / 4) + 1):
            report = verify(repo, data=True, max_seconds=4, clock=ticking())
            seen += report.packs_read
            assert not report.everything_read
            assert report.packs == PACKS
            assert report.packs_read == min(4, PACKS)
            assert report.state.never == PACKS - 4 * run
    assert seen == PACKS
    assert verdicts(path) == 0


def test_a_run_whose_time_ends_among_the_sections_gives_no_verdicts(path: Path) -> None:
    with Repository.open(path) as repo:
        report = verify(repo, data=True, max_seconds=PACKS + 2, clock=ticking())
        assert report.packs_read == PACKS
        assert not report.is_complete
        assert not report.everything_read
        assert report.sections > 0
    assert verdicts(path) == 0
    with Repository.open(path) as repo:
        assert verify(repo, data=True, max_seconds=10**6, clock=ticking()).everything_read
    assert verdicts(path) == PACKS


def test_packs_that_there_was_no_time_for_are_looked_at_all_the_same(path: Path) -> None:
    with Repository.open(path) as repo:
        verify(repo, data=True)
        last = repo.index.query("SELECT pack FROM pack_reads ORDER BY time_us DESC, pack DESC")
        name = last[0][0].hex()
    (file,) = (file for file in packs(path) if file.name == name)
    file.write_bytes(file.read_bytes()[:-1])
    with Repository.open(path) as repo:
        report = verify(repo, data=True, max_seconds=1, clock=ticking())
    assert report.packs_read == 1
    assert [finding.name for finding in report.findings if finding.kind == "pack"] == [
        f"packs/{name[:2]}/{name}"
    ]


@pytest.mark.parametrize("share", [0.0, -0.1, 1.01, math.nan])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(UsageError):
        SampleSize(share=share)


def test_a_bound_without_reading_and_a_sample_of_one_snapshot_are_refused(path: Path) -> None:
    with Repository.open(path) as repo:
        with pytest.raises(UsageError):
            verify(repo, max_seconds=5)
        with pytest.raises(UsageError):
            verify(repo, data=True, max_seconds=0)
        with pytest.raises(UsageError):
            verify(repo, snapshots=repo.newest("db0"), sample=TENTH)
