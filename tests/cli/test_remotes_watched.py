"""Remotes as monitors and people see them: verify, drill, check, doctor, stats, schedule, audit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pgsnap.repository.repository import Repository
from support.faults.damaging import flip
from support.repositories.collecting import commit_versions
from support.repositories.made import make
from support.running.commandline import CommandLine
from support.servers import object_stores
from support.servers.databases import Database
from support.servers.object_stores import Running


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with object_stores.moto(tmp_path_factory.mktemp("moto")) as running:
        yield running


@pytest.fixture
def bucket(moto: Running, snap: CommandLine, tmp_path: Path) -> str:
    """The URL of a place in a bucket."""
    for name, value in moto.environ.items():
        snap.setenv(name, value)
    return moto.url(tmp_path.name.replace("_", "-"))


@pytest.fixture
def offsite(snap: CommandLine, bucket: str) -> str:
    """The URL of the remote "offsite", to which the three snapshots of a repository were pushed."""
    with Repository.open(make(snap.work / "backups")) as repo:
        commit_versions(repo, range(3))
    (snap.work / "snap.toml").write_text('repository = "backups"\ndatabase = "shop"\n')
    snap.ok("init", bucket)
    snap.ok("remote", "add", "offsite", bucket)
    snap.ok("push")
    return bucket


# -- verify, drill ---------------------------------------------------------------------------------


def test_a_sample_of_a_remote_is_read_and_then_the_rest(snap: CommandLine, offsite: str) -> None:
    read = snap.ok("verify", "--remote", "offsite", "--sample", "1B", "--json").json
    assert (read["packs_read"], read["findings"]) == (1, [])
    assert read["bytes_read"] > 0
    rest = snap.ok("verify", "--remote", "offsite", "--sample", "100%", "--json").json
    assert rest["packs_never_read"] == 0


def test_damage_of_a_remote_is_found_and_the_command_that_is_named_mends_it(
    snap: CommandLine, offsite: str, tmp_path: Path
) -> None:
    there = tmp_path / "there"
    snap.ok("init", there.as_uri())
    snap.ok("remote", "add", "near", there.as_uri())
    snap.ok("push", "near")
    pack = next(file for file in (there / "packs").rglob("*") if file.is_file())
    flip(pack, pack.stat().st_size // 2)
    found = snap("verify", "--remote", "near", "--sample", "100%", "--json")
    assert found.code == 60
    repository = snap.work / "backups"
    command = f"snap repair --from {repository} --repo {there.as_uri()}"
    assert {one["next"] for one in found.json["findings"]} == {command}
    assert command in found.error["hint"]
    # The other remote, and the repository, have nothing to do with it.
    assert snap.ok("verify", "--remote", "offsite", "--data").out.startswith("no damage")
    snap.ok(*command.split()[1:])
    assert snap.ok("verify", "--remote", "near", "--data").out.startswith("no damage")


def test_a_drill_restores_straight_from_a_remote(
    snap: CommandLine, database: Database, bucket: str
) -> None:
    database.psql("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1), (2)")
    snap.setenv("DATABASE_URL", database.dsn)
    snap.ok("init")
    snap.ok("init", bucket)
    snap.ok("remote", "add", "offsite", bucket)
    snap.ok("commit", "-m", "first")
    assert snap("drill", "--from", "offsite").code == 20
    snap.ok("push")
    # What is here is not needed.
    packs = snap.work / "database" / "backups" / "packs"
    packs.rename(snap.work / "lost")
    report = snap.ok("drill", "--from", "offsite", "--json").json
    assert (report["passed"], report["remote"]) == (True, "offsite")
    (snap.work / "lost").rename(packs)
    assert snap.ok("log", "--json").json[0]["drilled"] is None
    snap.ok("pull")
    assert snap.ok("log", "--json").json[0]["drill_passed"] is True


# -- audit -----------------------------------------------------------------------------------------


def test_what_is_done_with_remotes_stands_in_the_audit_log(snap: CommandLine, offsite: str) -> None:
    snap.ok("remote", "list")
    snap.ok("remote", "check", "offsite")
    assert snap("push", "nowhere").code == 2
    snap.ok("pull", "offsite")
    snap.ok("verify", "--remote", "offsite")
    snap.ok("clone", offsite, "copy")
    snap.ok("remote", "remove", "offsite")

    def logged(*where: str) -> list[tuple[str, str | None]]:
        entries = snap.ok("audit", "--json", *where).json
        return [(one["command"], one["arguments"].get("remote")) for one in entries]

    assert logged() == [("remote", None), ("push", None), ("pull", "offsite"), ("remote", None)]
    assert logged("--repo", offsite) == [("init", None), ("verify", "offsite")]
    assert logged("--repo", "copy") == [("clone", None)]
