"""A disk that is really full: a commit fails in words, what was there is still read and listed."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pgsnap.errors import StoreFull
from pgsnap.repository.repository import Repository
from pgsnap.workflows.history.log import log
from support.dumps.scripted import shop, texts
from support.repositories.collecting import collect
from support.repositories.made import make, record

pytestmark = pytest.mark.system


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "none", str(tmp_path)],
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        pytest.skip(f"needs the right to mount a tmpfs: {done.stderr.strip()}")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


def fill(folder: Path) -> None:
    with contextlib.suppress(OSError), (folder / "fill").open("wb") as file:
        while True:
            file.write(b"x" * 4096)
            file.flush()


def test_a_full_disk_takes_no_commit_and_gives_what_it_holds(small_disk: Path) -> None:
    path = make(small_disk / "backups")
    with Repository.open(path) as repo:
        first = record(repo, shop(500)).snapshot_id
    with Repository.open(path) as repo:
        object.__setattr__(repo.config, "pack_bytes", 256 * 1024)
        with pytest.raises(StoreFull) as caught:
            record(repo, shop(60_000, seed=9))
    assert caught.value.exit_code == 50
    assert list((path / "tmp").iterdir()) == []
    fill(small_disk)
    with Repository.open(path) as repo:
        assert [entry.snapshot_id for entry in log(repo, database=None)] == [first]
        assert texts(repo, first) == shop(500).texts
        with pytest.raises(StoreFull):
            record(repo, shop(510))
    # The packs of the commit that failed; there is not one byte for the lock to say who holds it.
    assert collect(path, 9).packs_deleted > 0
    (small_disk / "fill").unlink(missing_ok=True)
    with Repository.open(path) as repo:
        second = record(repo, shop(510)).snapshot_id
        assert texts(repo, second) == shop(510).texts
        assert texts(repo, first) == shop(500).texts
