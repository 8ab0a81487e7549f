"""`snap fetch`, and `snap forget` on a remote: a folder and S3 (moto)."""

from __future__ import annotations

import shlex
from datetime import datetime, timedelta
from pathlib import Path

from pgsnap.repository.repository import Repository
from support.documents import documentation
from support.dumps.scripted import shop
from support.running.commandline import CommandLine

DUMP = b"".join(part.text for part in shop(50).parts)


def test_a_fetch_shows_what_a_remote_has_and_takes_none_of_it(
    snap: CommandLine, repository: Path, remote: str
) -> None:
    snap.ok("init", remote)
    snap.ok("remote", "add", "offsite", remote)
    unknown = snap("log", "--remote", "offsite", "--json").error
    assert unknown["hint"] == "Look it up first: snap fetch offsite"
    snap.ok("tag", "release", "latest~1")
    snap.ok("push")
    first = snap.ok("fetch").out
    fetched = snap.ok("fetch", "--json").json
    logged = snap.ok("log", "--remote", "offsite", "--json").json
    assert set(logged[0]) in documentation.fields(documentation.section("snap log"))
    assert fetched["new"] == []
    assert first.startswith("offsite has 3 snapshots  3 new since the last fetch  0 not here")
    # Another host commits there.
    with Repository.open(snap.work / "backups") as here:
        before = sorted(here.newest(None))
    dump = snap.work / "dump.sql"
    dump.write_bytes(DUMP)
    snap.ok("commit", "--file", str(dump), "--repo", remote, "--database", "shop", "-m", "theirs")
    # It is known as it was.
    assert len(snap.ok("log", "--remote", "offsite", "--json").json) == 3
    report = snap.ok("fetch", "offsite", "--json").json
    (new,) = report["new"]
    names = documentation.fields(documentation.section("snap fetch"))
    assert [documentation.field_names(report)] == names
    assert (new["message"], new["here"], report["not_here"]) == ("theirs", False, 1)
    assert report["gone"] == []
    listed = snap.ok("log", "--remote", "offsite", "--json").json
    assert listed[0] == new
    assert [one["tags"] for one in listed] == [[], [], ["release"], []]
    assert [one["here"] for one in listed] == [False, True, True, True]
    shown = snap.ok("log", "--remote", "offsite", "--limit", "2").out.splitlines()
    assert len(shown) == 2
    assert "not here" in shown[0]
    assert snap("show", new["id"]).code == 20
    with Repository.open(snap.work / "backups") as here:
        assert sorted(here.newest(None)) == before
    snap.ok("forget", "--remote", "offsite", new["id"])
    assert snap.ok("fetch", "--json").json["gone"] == [new["id"]]
    assert "exclude each other" in snap("log", "--remote", "offsite", "--forgotten").err


def test_what_was_fetched_has_the_name_of_its_remote_before_it(
    snap: CommandLine, repository: Path, tmp_path: Path
) -> None:
    url = (tmp_path / "there").as_uri()
    snap.ok("init", url)
    snap.ok("remote", "add", "offsite", url)
    snap.ok("push")
    ids = [one["id"] for one in snap.ok("log", "--json").json]
    dump = snap.work / "dump.sql"
    dump.write_bytes(DUMP)
    at_remote = ("--repo", url, "--database", "shop")
    snap.ok("commit", "--file", str(dump), "-m", "theirs", "--tag", "theirs", *at_remote)
    snap.ok("tag", "old", ids[1], *at_remote)
    unknown = snap("show", "offsite/old", "--json")
    assert unknown.code == 20
    assert unknown.error["hint"] == "Look it up first: snap fetch offsite"
    snap.ok("fetch")
    there = snap.ok("log", "--remote", "offsite", "--json").json
    (theirs,) = [one["id"] for one in there if not one["here"]]

    def shown(revision: str) -> str:
        return str(snap.ok("show", revision, "--json").json["id"])

    # Of what is here too the repository's own is meant.
    assert shown("offsite/old") == shown("offsite/shop/old") == ids[1]
    assert shown("offsite/old~1") == ids[2]
    assert shown(f"offsite/{ids[0][:8]}") == ids[0]
    # What is not here is read there, by what only reads; others name the command that fetches it.
    for name in ("theirs", "latest", theirs[:6]):
        assert shown(f"offsite/{name}") == theirs
    assert shown("offsite/theirs~1") == ids[0]
    rows = snap.ok("cat", "offsite/theirs", "--section", "data public.users")
    assert rows.out.encode() in DUMP
    assert "read from offsite" in rows.err
    snap.ok("export", "offsite/theirs", "theirs.sql")
    assert (snap.work / "theirs.sql").read_bytes().count(b"\n") > 50
    missing = snap("diff", "offsite/old", "offsite/theirs", "--json")
    assert missing.code == 20
    command = missing.error["hint"].removeprefix("Fetch it: ")
    assert command == f"snap pull offsite {theirs[:12]}"
    nothing = snap("show", "offsite/never", "--json")
    assert nothing.code == 20
    assert nothing.error["hint"].startswith("Look again: snap fetch offsite.")
    snap.ok(*shlex.split(command)[1:])
    snap.ok("diff", "offsite/old", "offsite/theirs")
    assert "read from" not in snap.ok("show", "offsite/theirs").err
    # Where the remote has several databases, the DSN says which, as everywhere.
    snap.ok("commit", "--file", str(dump), "-m", "blog", "--repo", url, "--database", "blog")
    snap.ok("fetch")
    toml = snap.work / "snap.toml"
    toml.write_text(toml.read_text().replace('database = "shop"\n', ""))
    assert "more than one database" in snap("show", "offsite/latest").err
    for named in (("--database", "shop"), ("--dsn", "dbname=shop")):
        assert snap.ok("show", "offsite/latest", "--json", *named).json["id"] == theirs
    blog = snap.ok("show", "offsite/latest", "--json", "--dsn", "dbname=blog").json
    assert blog["message"] == "blog"
    # A local name goes first, and what a gc dropped here is no other snapshot.
    snap.ok("commit", "--file", str(dump), "-m", "mine", "--database", "offsite", "--tag", "old")
    assert shown("offsite/old") not in ids
    assert snap("show", "offsite/old~1").code == 20


def test_a_copy_with_another_id_counts_as_here(
    snap: CommandLine, repository: Path, tmp_path: Path
) -> None:
    url = (tmp_path / "there").as_uri()
    key = tmp_path / "key"
    key.write_bytes(b"k" * 32)
    key.chmod(0o600)
    snap.ok("init", url, "--encrypt", "--key-file", str(key))
    snap.ok("remote", "add", "offsite", url)
    toml = snap.work / "snap.toml"
    toml.write_text(toml.read_text() + f'key_file = "{key}"\n')
    snap.ok("push")
    snap.ok("tag", "release", "latest", "--repo", url, "--key-file", str(key))
    report = snap.ok("fetch", "--json").json
    assert (report["snapshots"], report["not_here"]) == (3, 0)
    here = snap.ok("show", "latest", "--json").json["id"]
    there = snap.ok("log", "--remote", "offsite", "--json").json[0]["id"]
    assert here != there
    for name in ("release", "latest", here[:8], there[:8]):
        assert snap.ok("show", f"offsite/{name}", "--json").json["id"] == here


def test_what_is_forgotten_on_a_remote_stays_here_and_comes_back_there(
    snap: CommandLine, repository: Path, remote: str
) -> None:
    snap.ok("init", remote)
    snap.ok("remote", "add", "offsite", remote)
    toml = snap.work / "snap.toml"
    toml.write_text(toml.read_text() + '[remotes.offsite.retention]\ngrace = "2d"\n')
    snap.ok("push")
    ids = [one["id"] for one in snap.ok("log", "--json").json]

    def there() -> list[str]:
        return [one["id"] for one in snap.ok("log", "--json", "--repo", remote).json]

    (one,) = snap.ok("forget", "--remote", "offsite", ids[1], "--json").json["forgotten"]
    since, until = (datetime.fromisoformat(one[key]) for key in ("since", "until"))
    assert until - since == timedelta(days=2)
    assert there() == [ids[0], ids[2]]
    assert [one["id"] for one in snap.ok("log", "--json").json] == ids
    # A push does not bring it back.
    assert snap.ok("push").out.startswith("left out: 1 snapshot")
    assert there() == [ids[0], ids[2]]
    nothing = snap("unforget", "--remote", "offsite", "0000")
    assert nothing.code == 20
    assert f"Forgotten: {ids[1][:12]}" in nothing.err
    snap.ok("unforget", "--remote", "offsite", ids[1][:8])
    assert there() == ids
    told = snap.ok("forget", "--remote", "offsite", ids[2]).err
    assert f"snap unforget --remote offsite {ids[2][:12]}" in told


def test_what_protects_a_snapshot_protects_it_on_a_remote_too(
    snap: CommandLine, repository: Path, tmp_path: Path
) -> None:
    url = (tmp_path / "there").as_uri()
    snap.ok("init", url)
    snap.ok("remote", "add", "offsite", url)
    snap.ok("tag", "release", "latest~1")
    snap.ok("push", "--all-tags")
    tagged = snap("forget", "--remote", "offsite", "release", "--json").error
    assert tagged["hint"] == "Give --force, which deletes the tags there too."
    ids = [one["id"] for one in snap.ok("log", "--json").json]
    snap.ok("forget", "--remote", "offsite", "--force", "release")
    snap.ok("forget", "--remote", "offsite", ids[2])
    last = snap("forget", "--remote", "offsite", "latest", "--json").error
    command = f"snap forget --remote offsite --force {ids[0][:12]}"
    assert last["hint"] == f"Forget it all the same: {command}"
    snap.ok(*shlex.split(command)[1:])
    assert "release" in snap.ok("tag").out
    assert snap.ok("log", "--oneline", "--repo", url).out == ""
