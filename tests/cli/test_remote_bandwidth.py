"""The bandwidth of a remote: whatever opens it keeps to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgsnap.repository.repository import Repository
from pgsnap.stores import pacing
from pgsnap.stores.pacing import Line
from support.dumps.scripted import shop
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
    # What the command line says goes first, also for the repository's own store.
    for command in (["push"], ["pull", "offsite"], ["fetch"], ["clone", url, "third"]):
        lines.clear()
        snap.ok(*command, "--bandwidth", "50MB/s")
        assert lines == [50e6], command
    dump = snap.work / "dump.sql"
    dump.write_bytes(b"".join(part.text for part in shop(50).parts))
    commit = ("commit", "-m", "one", "--file", str(dump), "--database", "shop")
    lines.clear()
    snap.ok(*commit, "--repo", url, "--bandwidth", "50MB/s")
    assert lines == [50e6]
    lines.clear()
    toml = snap.work / "snap.toml"
    toml.write_text('push = ["offsite"]\n' + toml.read_text())
    snap.ok(*commit, "--bandwidth", "50MB/s")
    assert lines == [50e6]
    # Where it limits nothing it is an error, as are other words than a rate.
    before = snap.ok("log", "--json").json
    toml.write_text(toml.read_text().replace('push = ["offsite"]', ""))
    for wrong in (
        snap(*commit, "--bandwidth", "50MB/s", "--json"),
        snap("clone", "backups", "fourth", "--bandwidth", "50MB/s", "--json"),
        snap("push", "--bandwidth", "50 apples", "--json"),
    ):
        assert wrong.code == 2
        assert "--bandwidth" in wrong.error["message"]
        assert wrong.error["hint"]
    assert snap.ok("log", "--json").json == before
    assert not (snap.work / "fourth").exists()
