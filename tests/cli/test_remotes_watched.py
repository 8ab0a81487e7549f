"""Remotes as monitors and people see them: verify, drill, check, doctor, stats, schedule, audit."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pgsnap.repository.repository import Repository
from pgsnap.schedulers.environment import connection_variables
from pgsnap.schedulers.state import State
from pgsnap.workflows.sync.transfer import transfer
from pgsnap.workflows.watch import remote_states
from support.documents import documentation
from support.faults.damaging import flip
from support.repositories.collecting import commit_versions, version
from support.repositories.made import make, record
from support.running.commandline import CommandLine
from support.servers import object_stores
from support.servers.databases import Database
from support.servers.object_server import BUCKET, Fault, ObjectServer
from support.servers.object_stores import Running

HEAD = re.compile(r", the head of its log is \d+-[0-9a-f]{16}")


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


# -- check -----------------------------------------------------------------------------------------


def record_now(snap: CommandLine, text: str, age: timedelta = timedelta(0)) -> None:
    with Repository.open(snap.work / "backups") as repo:
        record(repo, at=datetime.now(UTC) - age, message=text)


def found(snap: CommandLine, *options: str) -> list[tuple[str, str]]:
    """Return what `snap check` says about remotes: how bad, and in words."""
    findings = snap("check", "--json", *options).json["findings"]
    return [(f["level"], f["text"]) for f in findings if f["what"] in ("remote", "push")]


def test_check_asks_remotes_for_the_age_of_their_newest_snapshot(
    snap: CommandLine, offsite: str
) -> None:
    record_now(snap, "three hours old", timedelta(hours=3))
    snap.ok("push")
    there = "the newest snapshot of shop in offsite is 3 h old"
    assert found(snap) == [("ok", there)]
    assert found(snap, "--max-remote-age", "4h") == [("ok", there)]
    assert found(snap, "--max-remote-age", "2h") == [("red", f"{there} (more than 2 h)")]
    record_now(snap, "new", timedelta(hours=2))
    late = "the newest snapshot of shop was not pushed to offsite: snap push offsite"
    assert found(snap, "--max-remote-age", "4h") == [("ok", there), ("warning", late)]
    toml = snap.work / "snap.toml"
    toml.write_text('push = ["offsite"]\n' + toml.read_text())
    assert found(snap) == [("ok", there), ("warning", late)]
    # Another host pushes to it too: what is there counts, not what was pushed from here.
    with Repository.open(snap.work / "backups") as repo, Repository.open(offsite) as other:
        transfer(repo, other)
    assert found(snap) == [("ok", "the newest snapshot of shop in offsite is 2 h old")]


def test_check_without_an_answer_goes_by_the_last_push(snap: CommandLine, offsite: str) -> None:
    record_now(snap, "three hours old", timedelta(hours=3))
    snap.ok("push")
    old = "the newest snapshot of shop in offsite is 3 h old (more than 2 h)"
    for name in ("--no-connect", "--json"):
        snap.setenv("AWS_ACCESS_KEY_ID", "")
        snap.setenv("AWS_EC2_METADATA_DISABLED", "true")
        seen = found(snap, "--max-remote-age", "2h", name)
        asked = [("warning", "the remote offsite cannot be asked: no credentials for AWS")]
        assert seen == [*(asked if name == "--json" else []), ("red", old)]


def test_a_remote_that_does_not_answer_is_not_waited_for(
    snap: CommandLine, offsite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ObjectServer(plan=lambda _: Fault.HANG) as server:
        url = f"s3://{BUCKET}/x?endpoint={server.endpoint}"
        snap.ok("remote", "add", "silent", url)
        monkeypatch.setattr(remote_states, "LOOK_SECONDS", 1.0)
        shown = snap("check", "--json", "--max-remote-age", "1h").json
    texts = [one["text"] for one in shown["findings"] if one["what"] == "remote"]
    assert texts[0].startswith("the newest snapshot of shop in offsite is ")
    assert texts[1] == "the remote silent cannot be asked: no answer within 1 s"
    offsite_fields, silent = shown["remotes"]
    assert (offsite_fields["error"], offsite_fields["snapshots"]) == (None, 3)
    assert (silent["asked"], silent["snapshots"]) == (True, None)
    shown["remotes"] = [offsite_fields]
    names = {name for name in documentation.field_names(shown) if name.startswith("remotes[]")}
    written = documentation.fields(documentation.section("snap check"))[0]
    assert names == {name for name in written if name.startswith("remotes[]")}


def test_check_reports_a_push_that_failed(snap: CommandLine, offsite: str) -> None:
    record_now(snap, "new", timedelta(hours=2))
    toml = snap.work / "snap.toml"
    toml.write_text(toml.read_text().replace("s3://bucket/", "s3://bucket/nothing-"))
    assert snap("push").code == 10
    levels = {text.split(",")[0]: level for level, text in found(snap)}
    assert levels["the last push to offsite"] == "red"
    toml.write_text(toml.read_text().replace("s3://bucket/nothing-", "s3://bucket/"))
    snap.ok("push")
    assert found(snap) == [("ok", "the newest snapshot of shop in offsite is 2 h old")]


def test_metrics_have_the_last_push_to_each_remote(snap: CommandLine, offsite: str) -> None:
    record_now(snap, "new", timedelta(hours=2))
    toml = snap.work / "snap.toml"
    toml.write_text(toml.read_text() + '[alerts]\nmetrics_file = "snap.prom"\n')

    def metrics() -> dict[str, float]:
        snap("schedule", "run", "check")
        lines = (snap.work / "snap.prom").read_text().splitlines()
        return {
            name: float(value)
            for name, value in (line.rsplit(" ", 1) for line in lines if "snap_remote_" in line)
            if name.startswith("snap_")
        }

    before = metrics()
    newest = 'snap_remote_last_snapshot_timestamp_seconds{remote="offsite",database="shop"}'
    assert before['snap_remote_last_push_failed{remote="offsite"}'] == 0
    began = time.time()
    snap.ok("push")
    after = metrics()
    assert after[newest] > before[newest]
    assert began - after[newest] == pytest.approx(2 * 3600, abs=60)
    success = 'snap_remote_last_push_success_timestamp_seconds{remote="offsite"}'
    assert after[success] >= began - 1
    toml.write_text(toml.read_text().replace("s3://bucket/", "s3://bucket/nothing-"))
    assert snap("push").code == 10
    failed = metrics()
    assert failed == after | {'snap_remote_last_push_failed{remote="offsite"}': 1}


# -- doctor ----------------------------------------------------------------------------------------


def steps_about(snap: CommandLine, name: str) -> list[tuple[str, str, str]]:
    """Return what `snap doctor` says about remotes: how bad, in words, and what to do. Without the
    head of the log, which is at random."""
    steps = [one for one in snap("doctor", "--json").json["steps"] if one["name"] == name]
    return [(one["health"], HEAD.sub("", one["text"]), one["next"]) for one in steps]


def test_doctor_looks_at_each_remote(snap: CommandLine, offsite: str, tmp_path: Path) -> None:
    record_now(snap, "new", timedelta(days=3))
    snap.ok("push")
    there = "the newest snapshot of shop there is 3 d old"
    source = "credentials of the environment (AWS_ACCESS_KEY_ID)"
    steps = [one["text"] for one in snap("doctor", "--json").json["steps"]]
    assert any(HEAD.search(text) for text in steps)
    seen = [("ok", f"{offsite} answers: 4 snapshots, not encrypted, {source}", "")]
    assert steps_about(snap, "remote offsite") == [*seen, ("ok", there, "")]
    toml = snap.work / "snap.toml"
    toml.write_text('push = ["offsite"]\n' + toml.read_text())
    late = ("red", there, "Push what it lacks: snap push offsite")
    assert steps_about(snap, "remote offsite") == [*seen, late]
    gone = (tmp_path / "gone").as_uri()
    snap.ok("remote", "add", "gone", gone)
    (red,) = steps_about(snap, "remote gone")
    assert red[0] == "red"
    assert f'there is no repository in "{gone}"' in red[1]
    assert red[2] == f"Make one: snap init {gone}"
    snap.ok("init", gone)
    empty = ("warning", "it holds no snapshot", "Fill it: snap push gone")
    assert steps_about(snap, "remote gone")[1:] == [empty]


def test_doctor_misses_a_remote_where_there_is_none(snap: CommandLine, offsite: str) -> None:
    assert steps_about(snap, "remotes") == []
    snap.ok("remote", "remove", "offsite")
    (none,) = steps_about(snap, "remotes")
    assert none[0] == "warning"
    assert none[2] == "Keep a copy elsewhere: snap remote add offsite s3://bucket/shop"


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


# -- requests and sizes ----------------------------------------------------------------------------


def test_requests_are_estimated_before_a_push_and_counted_by_it(
    snap: CommandLine, offsite: str
) -> None:
    with Repository.open(snap.work / "backups") as repo:
        record(repo, version(7), message="7")
    estimated = snap.ok("push", "--dry-run", "--json").json["remotes"][0]
    assert estimated["objects"] > 0
    pushed = snap.ok("push", "--json").json["remotes"][0]
    before, after = estimated["requests"], pushed["requests"]
    assert set(after) == {
        *("put", "list", "get", "delete", "repeated", "sent_bytes", "received_bytes")
    }
    assert before["put"] == after["put"] == pushed["objects"]
    assert after["sent_bytes"] >= pushed["sent_bytes"]
    for kind in ("list", "get"):
        assert after[kind] == pytest.approx(before[kind], abs=3)
    # Everything is there: nothing is written, and nothing would be.
    about = snap.ok("push", "--dry-run").out.splitlines()[-1]
    assert about.startswith("offsite: about ")
    assert "(0 put, " in about
    shown = snap.ok("push", "--stats").out.splitlines()[-1]
    assert shown.startswith("offsite: ")
    assert "(0 put, " in shown
    pulled = snap.ok("pull", "--stats").out.splitlines()[-1]
    assert "(0 put, " in pulled


def test_stats_show_the_sizes_of_remotes_and_the_requests_to_a_store(
    snap: CommandLine, offsite: str, tmp_path: Path
) -> None:
    assert snap.ok("stats", "--json").json["requests"] is None
    snap.ok("remote", "add", "gone", (tmp_path / "gone").as_uri())
    found = snap.ok("stats", "--remotes", "--json").json
    there, gone = found["remotes"]
    straight = snap.ok("stats", "--repo", offsite, "--json").json
    assert there["stored_bytes"] == straight["stored_bytes"] > 0
    assert there["total_bytes"] == straight["total_bytes"]
    assert straight["requests"]["get"] > 0
    assert straight["requests"]["put"] == 0
    assert (gone["total_bytes"], gone["error"].split(" in ")[0]) == (None, "there is no repository")
    assert "REMOTE" in snap.ok("stats", "--remotes").out
    assert snap("stats", "--remotes", "--by-table").code == 2


# -- schedule --------------------------------------------------------------------------------------


def test_scheduled_runs_push_to_collect_and_verify_each_remote(
    snap: CommandLine, offsite: str, tmp_path: Path
) -> None:
    near = (tmp_path / "near").as_uri()
    snap.ok("init", near)
    snap.ok("remote", "add", "near", near)
    record_now(snap, "new", timedelta(hours=2))
    assert snap("schedule", "run", "push").code == 0
    for url, count in ((offsite, 4), (near, 4)):
        with Repository.open(url) as repo:
            assert len(repo.newest("shop")) == count
    assert snap("schedule", "run", "remote-gc").code == 0
    assert snap("schedule", "run", "remote-verify").code == 0
    for url in (offsite, near):
        entries = snap.ok("audit", "--json", "--repo", url).json
        assert [one["command"] for one in entries] == ["init", "gc", "verify"]
        assert entries[-1]["arguments"]["sample"] == "10%"
    # One that fails does not keep the other from being verified, and is named.
    toml = snap.work / "snap.toml"
    toml.write_text(toml.read_text().replace("s3://bucket/", "s3://bucket/nothing-"))
    assert snap("schedule", "run", "remote-verify").code == 10
    assert len(snap.ok("audit", "--json", "--repo", near).json) == 4
    run = State(toml).last_run("remote-verify")
    assert run is not None
    assert run.error.startswith("offsite: there is no repository in ")


def test_a_schedule_of_remotes_has_what_runs_need(snap: CommandLine, offsite: str) -> None:
    times = ("--push", "30 2 * * *", "--remote-gc", "@weekly", "--remote-verify", "@daily")
    lines = snap.ok("schedule", "install", "--with", "cron", "--dry-run", *times).out
    for job in ("push", "remote-gc", "remote-verify"):
        assert f" schedule run {job} " in lines
    toml = snap.work / "snap.toml"
    toml.write_text(toml.read_text() + '[schedule]\nremote_gc = "@weekly"\n')
    found = snap.ok("schedule", "install", "--with", "cron", "--dry-run", "--json").json
    assert [one["job"] for one in found["jobs"]] == ["remote-gc"]
    needed = connection_variables(os.environ, stores=True)
    assert {"AWS_ACCESS_KEY_ID", "AWS_ENDPOINT_URL"} <= needed.keys()
    assert not any(name.startswith("AWS_") for name in connection_variables(os.environ))


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


def test_the_log_of_an_encrypted_remote_is_sealed(snap: CommandLine, offsite: str) -> None:
    key = snap.work / "key"
    key.write_bytes(bytes(range(32)))
    key.chmod(0o600)
    there = (snap.folder / "there").as_uri()
    snap.ok("init", there, "--encrypt", "--key-file", str(key))
    snap.ok("remote", "add", "sealed", there)
    toml = snap.work / "snap.toml"
    toml.write_text(toml.read_text() + 'key_file = "key"\n')
    snap.ok("push", "sealed")
    snap.ok("verify", "--remote", "sealed", "--sample", "100%")
    # Nobody is asked for a key, and none is needed beyond that of snap.toml.
    assert ("ok", f"{there} answers: 3 snapshots, encrypted", "") in steps_about(
        snap, "remote sealed"
    )
    entries = snap.ok("audit", "--json", "--repo", there, "--key-file", str(key)).json
    assert [one["command"] for one in entries] == ["init", "verify"]
    logs = [path.read_bytes() for path in (snap.folder / "home").rglob("audit.jsonl")]
    assert not any(b'"verify"' in log for log in logs)
