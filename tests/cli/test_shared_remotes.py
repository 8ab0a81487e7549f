"""A remote that several hosts push to, and a folder that goes by two names."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pgsnap.errors import RepositoryLocked
from pgsnap.model import ServerInfo, SourceKind
from pgsnap.repository.repository import Repository
from pgsnap.workflows.retention.gc import gc
from pgsnap.workflows.retention.policy import Policy
from pgsnap.workflows.sync.transfer import transfer
from support.dumps.scripted import ORIGIN, Dump, shop, texts
from support.repositories.collecting import commit_versions, version
from support.repositories.made import make, record
from support.running.commandline import CommandLine

AT_ONCE = timedelta(0)


def of_server(number: int) -> Dump:
    server = ServerInfo(150018, "15.18", system_identifier=f"70{number}")
    return replace(
        shop(20 + number), origin=replace(ORIGIN, kind=SourceKind.POSTGRES, server=server)
    )


def test_what_another_server_pushed_is_not_taken_for_what_this_one_did(
    snap: CommandLine, tmp_path: Path
) -> None:
    url = (tmp_path / "off site").as_uri()
    now = datetime.now(UTC)
    mine, others = make(snap.work / "backups"), make(tmp_path / "others")
    (snap.work / "snap.toml").write_text('repository = "backups"\ndatabase = "shop"\n')
    snap.ok("init", url)
    snap.ok("remote", "add", "offsite", url)
    with Repository.open(mine) as repo:
        record(repo, of_server(1), at=now - timedelta(hours=30))
    snap.ok("push")
    with Repository.open(others) as repo, Repository.open(url) as target:
        record(repo, of_server(2), at=now - timedelta(hours=1))
        transfer(repo, target)
    with Repository.open(mine) as repo:
        record(repo, of_server(1), at=now - timedelta(hours=2), message="never pushed")

    def found() -> list[tuple[str, str]]:
        findings = snap("check", "--json", "--max-remote-age", "26h").json["findings"]
        return [(f["level"], f["text"]) for f in findings if f["what"] in ("remote", "push")]

    late = "the newest snapshot of shop in offsite is 30 h old (more than 26 h)"
    assert found() == [("red", late)]
    snap.ok("push")
    assert found() == [("ok", "the newest snapshot of shop in offsite is 2 h old")]


@pytest.mark.parametrize("made_by", ["path", "URL"])
@pytest.mark.parametrize("pushed_by", ["path", "URL"])
def test_a_gc_by_another_name_of_a_folder_takes_nothing_from_a_push(
    tmp_path: Path, made_by: str, pushed_by: str
) -> None:
    path = tmp_path / "there"
    names: dict[str, Path | str] = {"path": path, "URL": path.as_uri()}
    Repository.create(names[made_by])
    pushed = names.pop(pushed_by)
    (collected,) = names.values()
    with Repository.open(make(tmp_path / "here")) as source:
        (new,) = commit_versions(source, [3])
        with Repository.open(pushed) as target:
            write = target.store.put

            def put(name: str, data: bytes | list[bytes]) -> None:
                if name.startswith("snapshots/"):
                    with contextlib.suppress(RepositoryLocked):
                        collect(collected)
                write(name, data)

            target.store.put = put  # type: ignore[method-assign]
            transfer(source, target)
    for _ in range(3):
        collect(collected)
    with Repository.open(pushed) as repo:
        assert texts(repo, new) == version(3).texts


def collect(where: Path | str) -> None:
    with Repository.open(where, alone=True, lock_timeout_seconds=0) as repo:
        gc(repo, Policy(last=9), grace=AT_ONCE, pack_grace=AT_ONCE)
