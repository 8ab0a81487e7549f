"""`snap audit`: what every command leaves, and that it never stands in a command's way."""

from __future__ import annotations

from pgsnap.repository.repository import Repository
from support.documents import documentation
from support.running.commandline import CommandLine
from support.servers.databases import Database


def test_each_command_that_writes_or_reads_out_leaves_one_line(
    snap: CommandLine, sample_database: Database
) -> None:
    snap.ok("init")
    dsn = ("--dsn", sample_database.tcp_dsn)
    first = snap.ok("commit", "-m", "password=hunter2", *dsn, "--json").json["id"]
    snap.ok("log")
    snap.ok("tag", "one", "latest")
    snap.ok("export", "one", "x.sql")
    assert snap("restore", "no-such-tag", "--yes", *dsn).code == 20
    found = snap.ok("audit", "--json").json
    assert [(one["command"], one["exit_code"]) for one in found] == [
        ("init", 0),
        ("commit", 0),
        ("tag", 0),
        ("export", 0),
        ("restore", 20),
    ]
    commit, export, restore = found[1], found[3], found[4]
    assert (commit["database"], commit["result"]["id"]) == (sample_database.name, first)
    assert export["snapshots"] == [first]
    assert restore["arguments"]["revision"] == "no-such-tag"
    assert restore["database"] == sample_database.name
    text = (snap.work / "database" / "backups" / "audit.jsonl").read_text()
    assert "hunter2" not in text
    assert sample_database.tcp_dsn not in text
    assert len(snap.ok("audit").out.splitlines()) == 5
    assert snap.ok("audit", "--since", "1h").out.count("\n") == 5
    # What a listing tells of is that of each command: the names of their own options differ.
    names = documentation.field_names([{**one, "arguments": 1, "result": 1} for one in found])
    assert [names] == documentation.fields(documentation.section("snap audit"))


def test_a_log_that_cannot_be_written_fails_no_command(snap: CommandLine) -> None:
    snap.ok("init")
    log = snap.work / "database" / "backups" / "audit.jsonl"
    log.unlink()
    log.mkdir()
    done = snap.ok("gc")
    assert "warning: the audit log was not written: is a directory" in done.err
    log.rmdir()
    snap.ok("gc")
    assert len(snap.ok("audit", "--json").json) == 1


def test_nothing_of_a_run_without_a_repository_is_left_anywhere(snap: CommandLine) -> None:
    assert snap("gc").code == 10
    assert snap("audit").code == 10
    assert list(snap.work.iterdir()) == []


def test_a_folder_that_is_no_repository_gets_no_log(snap: CommandLine) -> None:
    (snap.work / "repo").mkdir()
    (snap.work / "repo" / "mine").touch()
    for command in ("gc", "reindex", "repair"):
        assert snap(command, "--repo", "repo").code == 10
    assert [path.name for path in (snap.work / "repo").iterdir()] == ["mine"]


def test_a_command_that_met_a_lock_is_logged(snap: CommandLine) -> None:
    snap.ok("init")
    path = snap.work / "database" / "backups"
    with Repository.open(path, alone=True):
        for command in ("gc", "reindex"):
            assert snap(command, "--lock-timeout", "0s").code == 11
        assert "has been locked for" in snap("check", "--lock-timeout", "0s").out
    logged = [(one["command"], one["exit_code"]) for one in snap.ok("audit", "--json").json]
    assert logged[1:] == [("gc", 11), ("reindex", 11)]


def test_what_mends_a_repository_is_logged_too(snap: CommandLine) -> None:
    snap.ok("init")
    snap.ok("reindex")
    snap.ok("repair")
    logged = [one["command"] for one in snap.ok("audit", "--json").json]
    assert logged == ["init", "reindex", "repair"]


def test_an_encrypted_folder_that_was_made_by_a_url_has_its_lines_whatever_names_it(
    snap: CommandLine, sample_database: Database
) -> None:
    there, key = snap.folder / "there", snap.folder / "key"
    key.write_bytes(bytes(range(32)))
    key.chmod(0o600)
    with_key = ("--key-file", str(key))
    snap.ok("init", there.as_uri(), "--encrypt", *with_key)
    for place in (str(there), there.as_uri()):
        named = ("--repo", place, *with_key)
        snap.ok(*named, "commit", "-m", "one", "--dsn", sample_database.tcp_dsn)
        found = snap.ok(*named, "audit", "--json").json
        assert found[-1]["command"] == "commit"
    assert len(found) >= 2
