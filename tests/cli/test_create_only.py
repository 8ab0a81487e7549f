"""Credentials that may create objects and read them, and nothing else, by the installed command."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pgsnap.repository.repository import Repository
from support.dumps.scripted import shop
from support.repositories.collecting import commit_versions
from support.repositories.made import make
from support.running.commandline import CommandLine
from support.servers.object_server import ObjectServer, Rights
from support.servers.object_stores import KEY, aws_environ

URL = "s3://bucket/p"
DUMPS = [b"".join(part.text for part in shop(rows).parts) for rows in (50, 80, 120)]
COMMITTER = Rights(
    creates=tuple(
        f"p/{name}/" for name in ("packs", "snapshots", "tags", "notes", "claims", "log")
    ),
    overwrites=(),
    deletes=(),
)


class Site:
    """An encrypted or plain repository on a store, and the credentials of two hosts."""

    def __init__(self, snap: CommandLine, server: ObjectServer, secret: Path | None) -> None:
        self.snap = snap
        self.server = server
        self.secret = secret
        self.become(KEY)
        if secret is not None:
            snap.setenv("SNAP_PASSPHRASE_FILE", str(secret))
        snap.ok("init", *([] if secret is None else ["--encrypt"]), URL)

    def become(self, key: str) -> None:
        """Use the credentials of *key*: "COMMITTER", or `KEY`, which may do everything."""
        for name, value in aws_environ(self.server.endpoint, key).items():
            self.snap.setenv(name, value)

    def use(self) -> None:
        """Let the repository be the one of all commands."""
        (self.snap.work / "snap.toml").write_text(f'repository = "{URL}"\ndatabase = "shop"\n')

    def commit(self, number: int, *options: str) -> None:
        (self.snap.work / "dump.sql").write_bytes(DUMPS[number])
        self.snap.ok("commit", "-m", f"{number}", "--file", "dump.sql", *options)


@pytest.fixture(params=["plain", "encrypted"])
def site(request: pytest.FixtureRequest, snap: CommandLine, tmp_path: Path) -> Iterator[Site]:
    secret = None
    if request.param == "encrypted":
        secret = tmp_path / "passphrase"
        secret.write_text("correct horse battery\n")
        secret.chmod(0o600)
    with ObjectServer(rights={"COMMITTER": COMMITTER}) as server:
        yield Site(snap, server, secret)


def test_they_suffice_to_commit_and_read(site: Site) -> None:
    snap = site.snap
    site.use()
    site.become("COMMITTER")
    made = site.server.data()
    site.commit(0, "--tag", "first")
    site.commit(1, "--tag", "moving")
    site.commit(2, "--tag", "moving", "--force")
    snap.ok("tag", "--delete", "first")
    for number in range(3):
        assert snap.ok("cat", f"latest~{2 - number}").out.encode() == DUMPS[number]
    assert snap.ok("verify", "--data").code == 0
    now = site.server.data()
    assert {name: now[name] for name in made} == made
    assert {seen.method for seen in site.server.seen if seen.who == "COMMITTER"} <= {
        *("GET", "HEAD", "PUT")
    }


def test_they_suffice_to_push_and_pull(site: Site) -> None:
    snap = site.snap
    with Repository.open(make(snap.work / "backups")) as repo:
        commit_versions(repo, range(3))
    opened_by = "" if site.secret is None else f'passphrase_file = "{site.secret}"\n'
    snap.setenv("SNAP_PASSPHRASE_FILE", "")
    (snap.work / "snap.toml").write_text(
        'push = ["offsite"]\nrepository = "backups"\ndatabase = "shop"\n'
        f'[remotes.offsite]\nurl = "{URL}"\n{opened_by}'
    )
    site.become("COMMITTER")
    snap.ok("push")
    older = dict(site.server.objects)
    snap.ok("tag", "release", "latest~1")
    snap.ok("push", "--all-tags")
    snap.ok("tag", "--force", "release", "latest")
    snap.ok("push", "--all-tags", "--force")
    site.commit(0)
    # Put back to an older state: what is missing is sent again.
    site.server.objects = older
    assert "not there any more" in snap.ok("push").err
    assert {seen.method for seen in site.server.seen if seen.who == "COMMITTER"} <= {
        *("GET", "HEAD", "PUT")
    }
    assert snap.ok("verify", "--data", "--remote", "offsite").code == 0
    snap.ok("init", "again")
    (snap.work / "snap.toml").write_text(
        (snap.work / "snap.toml").read_text().replace("backups", "again")
    )
    assert len(snap.ok("pull", "--json").json["snapshots"]) == 4


@pytest.mark.parametrize(
    "command",
    [
        ["gc", "--keep-last", "1", "--grace", "0s"],
        ["forget", "--force", "first"],
        ["repair"],
    ],
    ids=lambda command: command[0],
)
def test_they_do_not_suffice_to_remove_anything(site: Site, command: list[str]) -> None:
    snap = site.snap
    site.use()
    site.become("COMMITTER")
    site.commit(0, "--tag", "first")
    site.commit(1)
    before = site.server.data()
    refused = snap(*command, "--json")
    assert refused.code == 50, refused
    assert 'cannot write "gc/' in refused.error["message"]
    assert "access is denied" in refused.error["message"]
    assert "they lack a right" in refused.error["hint"]
    assert site.server.data() == before
    assert snap.ok("cat", "first").out.encode() == DUMPS[0]


def test_a_store_that_was_put_back_is_noticed_by_who_saw_a_later_state(
    site: Site, tmp_path: Path
) -> None:
    snap = site.snap
    site.use()
    site.commit(0)
    site.commit(1)
    older = dict(site.server.objects)
    assert "not there any more" not in snap.ok("log").err
    site.commit(2)
    head = snap.ok("log", "--json").json[0]["id"]
    newer = dict(site.server.objects)
    site.server.objects = older
    shown = snap.ok("log", "--oneline")
    assert len(shown.out.splitlines()) == 2
    assert f"snapshot {head[:12]} was seen in {URL} before" in shown.err
    # A host that sees it for the first time.
    snap.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert "not there any more" not in snap.ok("log").err
    encrypts = [] if site.secret is None else ["--encrypt"]
    refused = snap("clone", URL, "copy", "--expect", head[:16], *encrypts, "--json")
    assert refused.code == 12
    assert f"snapshot {head[:16]} is not in" in refused.error["message"]
    assert not (snap.work / "copy").exists()
    site.server.objects = newer
    assert snap("clone", URL, "copy", "--expect", "latest").code == 2
    if site.secret is None:
        snap.ok("clone", URL, "copy", "--expect", head[:16])
    # What was forgotten on purpose is not missed.
    snap.ok("forget", "--force", head)
    snap.ok("gc", "--grace", "0s", "--keep-last", "2")
    snap.setenv("XDG_CACHE_HOME", str(snap.folder / "home/.cache"))
    assert "not there any more" not in snap.ok("log").err
