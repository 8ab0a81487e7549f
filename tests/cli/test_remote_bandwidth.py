"""The bandwidth of a remote: whatever opens it keeps to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgsnap.repository.repository import Repository
from pgsnap.stores import pacing
from pgsnap.stores.pacing import Line
from support.repositories.collecting import commit_versions
from support.repositories.made import make
from support.running.commandline import CommandLine
from support.servers import object_stores


def test_all_that_opens_a_remote_keeps_to_its_bandwidth(
    snap: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Repository.open(make(snap.work / "backups")) as repo:
        commit_versions(repo, range(3))
    (snap.work / "snap.toml").write_text('repository = "backups"\n')
    (tmp_path / "moto").mkdir()
    with object_stores.moto(tmp_path / "moto") as running:
        for name, value in running.environ.items():
            snap.setenv(name, value)
        keeps_to_it(snap, running.url("limited"), monkeypatch)


def keeps_to_it(snap: CommandLine, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[float] = []
    sizes: list[int] = []

    class Noted(Line):
        def __init__(self, bytes_per_second: float) -> None:
            super().__init__(bytes_per_second)
            lines.append(bytes_per_second)

        def turn(self, size: int) -> float:
            sizes.append(size)
            return super().turn(size)

    monkeypatch.setattr(pacing, "Line", Noted)
    snap.ok("init", url)
    assert lines == []
    with (snap.work / "snap.toml").open("a") as file:
        file.write(f'[remotes.offsite]\nurl = "{url}"\nbandwidth = "100 MB/s"\n')
    (pushed,) = snap.ok("push", "offsite", "--json").json["remotes"]
    assert lines == [100e6]
    requests = pushed["requests"]
    assert sum(sizes) >= requests["sent_bytes"] + requests["received_bytes"] > pushed["sent_bytes"]
    # The same place by another way.
    sizes.clear()
    snap.ok("clone", url, "again")
    assert sum(sizes) >= pushed["sent_bytes"]
    sizes.clear()
    snap.ok("cat", "latest", "--repo", url)
    snap.ok("reindex", "--repo", url)
    assert lines == [100e6] * 4
    assert all(sizes)
