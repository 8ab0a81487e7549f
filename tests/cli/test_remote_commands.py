"""`snap remote`, `push`, `pull` and `clone`: off-site and back, on a folder and on S3 (moto)."""

from __future__ import annotations

import shlex
import shutil
import tomllib
from pathlib import Path

import pytest

from pgsnap.repository.repository import Repository
from support.documents import documentation
from support.dumps.scripted import shop
from support.repositories.collecting import version
from support.repositories.made import record
from support.running.commandline import CommandLine

DUMP = b"".join(part.text for part in shop(50).parts)


def test_all_that_was_here_comes_back_from_a_remote_and_a_url_alone(
    snap: CommandLine, repository: Path, remote: str
) -> None:
    snap.ok("tag", "release", "latest~1")
    snap.ok("init", remote)
    snap.ok("remote", "add", "offsite", remote)
    pushed = snap.ok("push")
    assert pushed.out.startswith("3 snapshots pushed to offsite  ")
    assert snap.ok("push").out == "offsite has everything already\n"
    before = {line.split()[0] for line in snap.ok("log", "--oneline").out.splitlines()}
    # The host is lost: repository, settings, cache and state.
    shutil.rmtree(snap.work)
    shutil.rmtree(snap.folder / "home")
    snap.work.mkdir()
    again = snap.at(snap.work, "clone", remote, "again", "--json")
    assert again.code == 0, again.err
    assert len(again.json["snapshots"]) == 3
    snap.setenv("SNAP_REPO", "again")
    after = {line.split()[0] for line in snap.ok("log", "--oneline").out.splitlines()}
    assert after == before
    assert "release" in snap.ok("tag").out
    text = b"".join(part for _, part in version(2).texts)
    assert snap.ok("cat", "latest").out.encode() in text
    assert snap.ok("verify", "--data").code == 0
    # The remote itself can be read too.
    assert snap.ok("log", "--oneline", "--repo", remote).out


def test_a_dump_is_committed_straight_to_a_remote_and_verified_there(
    snap: CommandLine, remote: str
) -> None:
    (snap.work / "dump.sql").write_bytes(DUMP)
    snap.setenv("SNAP_REPO", remote)
    snap.ok("init", remote)
    snap.ok("commit", "-m", "there", "--file", "dump.sql", "--database", "shop", "--tag", "first")
    assert snap.ok("cat", "first").out.encode() == DUMP
    assert snap.ok("verify", "--data").code == 0
    assert snap.ok("stats").code == 0
    entries = snap.ok("audit", "--json").json
    assert [one["command"] for one in entries] == ["init", "commit", "cat", "verify"]


def test_a_push_needs_a_repository_there_and_says_how_to_make_one(
    snap: CommandLine, repository: Path, remote: str
) -> None:
    snap.ok("remote", "add", "offsite", remote)
    failed = snap("push", "--json")
    assert failed.code == 10
    assert failed.error["hint"] == f"Make one: snap init {shlex.quote(remote)}"


def test_a_commit_is_pushed_and_a_push_that_fails_is_shown_by_check(
    snap: CommandLine, repository: Path, tmp_path: Path
) -> None:
    (snap.work / "dump.sql").write_bytes(DUMP)
    gone = tmp_path / "gone"
    toml = snap.work / "snap.toml"
    toml.write_text('push = ["offsite"]\n' + toml.read_text())
    snap.ok("remote", "add", "offsite", gone.as_uri())
    made = snap.ok("commit", "-m", "first", "--file", "dump.sql", "--json").json
    assert "there is no repository" in made["pushed"]["offsite"]
    assert any("the push to offsite failed" in notice for notice in made["notices"])
    shown = snap("check")
    assert shown.code == 4
    assert "the last push to offsite, " in shown.out
    snap.ok("init", gone.as_uri())
    made = snap.ok("commit", "-m", "second", "--file", "dump.sql", "--json").json
    assert made["pushed"] == {"offsite": None}
    assert "push" not in snap("check").out
    with Repository.open(gone.as_uri()) as there:
        assert len(there.newest("shop")) == 5


def test_a_divergent_tag_is_refused_and_all_else_is_sent(
    snap: CommandLine, repository: Path, tmp_path: Path
) -> None:
    url = (tmp_path / "there").as_uri()
    snap.ok("init", url)
    snap.ok("remote", "add", "offsite", url)
    snap.ok("tag", "release", "latest")
    snap.ok("push")
    snap.ok("tag", "--force", "release", "latest~1")
    with Repository.open(repository) as repo:
        record(repo, version(7), message="7")
    refused = snap("push", "--all-tags")
    assert refused.code == 10
    assert "1 snapshot pushed to offsite" in refused.out
    assert 'tag "release" of database "shop" names another snapshot there' in refused.err
    for again in (("push",), ("push", "--force")):
        refused = snap(*again)
        assert refused.code == 10
        assert "refused: tag shop/release" in refused.out
        assert "offsite has everything else already" in refused.out
        assert "--all-tags --force" in refused.err
    pulled = snap("pull")
    assert pulled.code == 10
    assert "refused: tag shop/release" in pulled.out
    assert ", here it is " in pulled.out
    assert "everything else of offsite is here already" in pulled.out
    warned = "tag shop/release names another snapshot in offsite, so it was not pushed"
    assert warned in str(snap("check", "--no-connect", "--json").json)
    toml = snap.work / "snap.toml"
    toml.write_text('push = ["offsite"]\n' + toml.read_text())
    (snap.work / "dump.sql").write_bytes(b"".join(part.text for part in shop(5).parts))
    commit = snap("commit", "-m", "x", "--file", "dump.sql", "--database", "shop")
    assert commit.code == 0, commit.err
    assert 'tag "release" of database "shop" names another snapshot in offsite' in commit.err
    snap.ok("push", "--all-tags", "--force")
    assert warned not in str(snap("check", "--no-connect", "--json").json)
    assert snap("push", "--all-tags").code == 0
    snap.ok("tag", "--delete", "release")
    assert snap.ok("pull", "--all-tags", "--json").json["tags"] == ["shop/release"]


# -- snap.toml -------------------------------------------------------------------------------------


def test_add_and_remove_touch_no_other_line_of_snap_toml(
    snap: CommandLine, repository: Path
) -> None:
    toml = snap.work / "snap.toml"
    before = toml.read_text() + "# mine\n\n[retention] # keep\nlast = 9\n"
    toml.write_text(before)
    toml.chmod(0o640)
    snap.ok("remote", "add", "offsite", "s3://bucket/shop")
    after = toml.read_text()
    assert after.startswith(before)
    assert tomllib.loads(after)["remotes"] == {"offsite": {"url": "s3://bucket/shop"}}
    assert toml.stat().st_mode & 0o777 == 0o640
    toml.write_text(after + "[remotes.offsite.retention]\nlast = 3\n\n[hooks]\n# last\n")
    listed = snap.ok("remote", "list", "--json").json
    assert listed == [{"name": "offsite", "url": "s3://bucket/shop", "push": False}]
    snap.ok("remote", "remove", "offsite")
    assert toml.read_text() == before + "\n[hooks]\n# last\n"


def test_a_file_that_is_not_ours_stays_and_the_table_is_printed(
    snap: CommandLine, repository: Path
) -> None:
    toml = snap.work / "snap.toml"
    other = snap.work / "elsewhere.toml"
    toml.rename(other)
    toml.symlink_to(other)
    before = other.read_text()
    shown = snap.ok("remote", "add", "offsite", "s3://bucket/shop")
    assert shown.out == '[remotes.offsite]\nurl = "s3://bucket/shop"\n'
    assert other.read_text() == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["remote", "add", "offsite", "https://u:s3cret@host/x"], "knows no stores of the kind"),
        (["remote", "add", "offsite", "s3://u:s3cret@bucket/x"], "must not hold credentials"),
        (["remote", "add", "../x", "s3://bucket/x"], "cannot be the name of a remote"),
        (["remote", "add", "disk", "copy"], 'there is a remote "disk" already'),
        (["remote", "add", "offsite"], "takes other arguments"),
        (["remote", "drop", "offsite"], 'there is no "snap remote drop"'),
        (["remote", "remove", "offsite"], 'there is no remote "offsite"'),
        (["push", "offsite"], 'there is no remote "offsite"'),
        (["pull", "dsik"], 'there is no remote "dsik"'),
        (["clone", "copy", ""], "PATH must be a text that is not empty"),
    ],
)
def test_a_mistake_is_named_and_no_secret_shown(
    snap: CommandLine, repository: Path, arguments: list[str], words: str
) -> None:
    toml = snap.work / "snap.toml"
    toml.write_text(toml.read_text() + '[remotes.disk]\nurl = "copy"\n')
    failed = snap(*arguments)
    assert failed.code == 2
    assert words in failed.err
    assert "s3cret" not in failed.err + failed.out


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["push", "origin"], "Add it: snap remote add NAME URL"),
        (["gc", "--remote", "origin"], "Add it: snap remote add NAME URL"),
        (["pull", "dsik"], 'Did you mean "disk"?'),
        (["remote", "remove", "origin"], "See which there are: snap remote list"),
    ],
)
def test_a_remote_that_there_is_not_is_called_a_remote(
    snap: CommandLine, repository: Path, arguments: list[str], hint: str
) -> None:
    toml = snap.work / "snap.toml"
    before = toml.read_text()
    toml.write_text(before + '[remotes.disk]\nurl = "copy"\n')
    error = snap(*arguments, "--json").error
    assert (error["detail"], error["hint"]) == ("Known remotes are disk.", hint)
    toml.write_text(before)
    error = snap(*arguments, "--json").error
    assert error["detail"] == ""
    assert "snap remote" in error["hint"]


def test_json_fields_are_those_documented(
    snap: CommandLine, repository: Path, tmp_path: Path
) -> None:
    def documented(name: str) -> list[set[str]]:
        return documentation.fields(documentation.section(name))

    url = (tmp_path / "there").as_uri()
    snap.ok("init", url)
    added = snap.ok("remote", "add", "offsite", url, "--json").json
    pushed = snap.ok("push", "--json").json
    checked = snap.ok("remote", "check", "--json").json
    listed = snap.ok("remote", "list", "--json").json
    pulled = snap.ok("pull", "--json").json
    cloned = snap.ok("clone", url, "copy", "--json").json
    names = documentation.field_names
    assert [names(pushed)] == documented("snap push")
    assert [names(pulled)] == documented("snap pull")
    assert [names(cloned)] == documented("snap clone")
    assert [set(listed[0]), names(added), names(checked)] == documented("snap remote")


def test_a_remote_is_collected_by_a_policy_of_its_own(
    snap: CommandLine, repository: Path, remote: str
) -> None:
    snap.ok("init", remote)
    snap.ok("remote", "add", "offsite", remote)
    snap.ok("push")
    assert snap.ok("gc", "--remote", "offsite", "--json").json["dropped"] == []
    toml = snap.work / "snap.toml"
    toml.write_text(toml.read_text() + "[remotes.offsite.retention]\nlast = 1\n")
    report = snap.ok("gc", "--remote", "offsite", "--json", "--grace", "0s").json
    assert len(report["kept"]) == 1
    assert len(report["expired"]) == 2
    assert report["packs_deleted"] == 0
    # Here all are as before, and what was dropped there is not sent again.
    assert len(snap.ok("log", "--json").json) == 3
    assert snap.ok("push").out.startswith("left out: 2 snapshots")
    assert snap.ok("verify", "--data", "--repo", remote).code == 0


def test_a_plain_repository_is_pushed_to_an_encrypted_remote_and_cloned_from_it(
    snap: CommandLine, repository: Path, remote: str
) -> None:
    key = snap.folder / "key"
    key.write_bytes(b"thirty-two bytes of a key, or so")
    key.chmod(0o600)
    snap.ok("init", remote, "--encrypt", "--key-file", str(key))
    snap.ok("remote", "add", "offsite", remote)
    assert snap("push").code == 12
    toml = snap.work / "snap.toml"
    toml.write_text(toml.read_text() + f'key_file = "{key}"\n')
    pushed = snap.ok("push", "--json").json
    assert len(pushed["remotes"][0]["snapshots"]) == 3
    assert snap.ok("push").out == "offsite has everything already\n"
    before = [entry["id"] for entry in snap.ok("log", "--json").json]
    with_key = ("--key-file", str(key))
    assert snap.ok("verify", "--data", "--repo", remote, *with_key).code == 0
    cloned = snap.ok("clone", remote, "again", *with_key)
    assert "the clone is not encrypted" in cloned.err
    after = [entry["id"] for entry in snap.ok("log", "--json", "--repo", "again").json]
    assert after == before


def test_a_plain_repository_becomes_an_encrypted_one_by_a_clone(
    snap: CommandLine, repository: Path
) -> None:
    key = snap.folder / "key"
    key.write_bytes(b"thirty-two bytes of a key, or so")
    key.chmod(0o600)
    with_key = ("--key-file", str(key))
    made = snap.ok("clone", "backups", "encrypted", "--encrypt", "--json", *with_key).json
    assert len(made["snapshots"]) == 3
    assert made["notices"] == []
    assert snap.ok("verify", "--data", "--repo", "encrypted", *with_key).code == 0
    assert snap("log", "--repo", "encrypted").code == 12


def test_a_clone_that_is_to_be_encrypted_is_not_made_in_a_plain_repository(
    snap: CommandLine, repository: Path
) -> None:
    key = snap.folder / "key"
    key.write_bytes(b"thirty-two bytes of a key, or so")
    key.chmod(0o600)
    snap.ok("init", "copy")
    refused = snap("clone", "backups", "copy", "--encrypt", "--key-file", str(key), "--json")
    assert refused.code == 10
    assert refused.error["message"].endswith("is a repository already, and not an encrypted one")
    assert not list((snap.work / "copy" / "packs").rglob("*"))
    # Nor is one of the same kind that was not asked for refused.
    snap.ok("clone", "backups", "copy")


def test_a_pull_fetches_the_snapshots_of_all_databases(
    snap: CommandLine, repository: Path, tmp_path: Path
) -> None:
    url = (tmp_path / "off site").as_uri()
    snap.ok("init", url)
    snap.ok("remote", "add", "offsite", url)
    with Repository.open(repository) as repo:
        other = record(repo, database="crm").snapshot_id.hex()
    snap.ok("push")
    shutil.rmtree(repository)
    snap.ok("init")
    assert len(snap.ok("pull", "--database", "shop", "--json").json["snapshots"]) == 3
    # snap.toml names the label of this one for commits, and is no reason to leave others there.
    assert snap.ok("pull", "--json").json["snapshots"] == [other]


@pytest.mark.parametrize("where", [None, "again"])
def test_a_clone_that_was_cut_short_goes_on_as_it_says(
    snap: CommandLine, repository: Path, tmp_path: Path, where: str | None
) -> None:
    url = (tmp_path / "off site").as_uri()
    snap.ok("init", url)
    snap.ok("remote", "add", "offsite", url)
    snap.ok("push", "--database", "shop")
    shutil.rmtree(repository)
    (snap.work / "snap.toml").write_text('repository = "backups"\n')
    words = ["clone", url, *([] if where is None else [where])]
    snap.ok(*words)
    place = snap.work / (where or "backups")
    newest = snap.ok("log", "--json", "--repo", str(place)).json[0]["id"]
    (place / "snapshots" / newest).unlink()
    refused = snap(*words, "--json")
    assert refused.code == 10
    assert "is a repository with snapshots already" in refused.error["message"]
    said = refused.error["hint"].removeprefix("Fetch what it lacks: ").partition("; or")[0]
    adding, pulling = said.split(", then ")
    for command in (adding, pulling):
        program, *arguments = shlex.split(command)
        assert program == "snap"
        snap.ok(*arguments)
    assert snap.ok("log", "--json", "--repo", str(place)).json[0]["id"] == newest
    # What the remote is called by now is said instead.
    assert f"lacks: {pulling};" in snap(*words, "--json").error["hint"]
