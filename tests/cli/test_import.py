from __future__ import annotations

import gzip
import os
import shutil
import signal
import time
from itertools import pairwise
from pathlib import Path

import pytest
import zstandard

from support.documents import documentation
from support.dumps.texts import plain_dump as dump
from support.running.commandline import CommandLine


@pytest.fixture
def old(snap: CommandLine) -> Path:
    """A folder of three backups, as scripts leave them, in a repository's working folder."""
    snap.ok("init")
    folder = snap.work / "old"
    folder.mkdir()
    (folder / "backup_20260103_020000.sql.gz").write_bytes(gzip.compress(dump(1, 2, 3)))
    (folder / "backup_20260102_020000.sql").write_bytes(dump(1, 2))
    third = zstandard.ZstdCompressor().compress(dump(1))
    (folder / "backup_20260101_020000.sql.zst").write_bytes(third)
    return folder


def ask(snap: CommandLine, *arguments: str) -> CommandLine:
    """Import into the label shop, in UTC; the options come last."""
    snap.ok("import", *arguments, "--database", "shop", "--timezone", "UTC")
    return snap


def log(snap: CommandLine, label: str = "shop") -> list[dict[str, object]]:
    found: list[dict[str, object]] = snap.ok("log", "--database", label, "--json").json
    return found


def test_a_folder_becomes_a_chain_dated_by_names_oldest_first(snap: CommandLine, old: Path) -> None:
    done = snap.ok("import", "old", "--database", "shop", "--timezone", "UTC", "--json").json
    assert documentation.field_names(done) in documentation.fields(
        documentation.section("snap import")
    )
    times = [f"2026-01-0{day}T02:00:00Z" for day in (1, 2, 3)]
    assert [file["time"] for file in done["files"]] == times
    assert [file["outcome"] for file in done["files"]] == ["imported"] * 3
    entries = log(snap)[::-1]
    assert [entry["time"] for entry in entries] == times
    assert [entry["parent"] for entry in entries] == [None, entries[0]["id"], entries[1]["id"]]
    assert entries[2]["message"] == "imported from backup_20260103_020000.sql.gz"
    assert [entry["rows"] for entry in entries] == [1, 2, 3]
    assert done["imported"] == 3
    assert done["new_bytes"] == sum(file["new_bytes"] for file in done["files"]) > 0
    assert snap.ok("cat", "latest").out.encode() == dump(1, 2, 3)


def test_what_each_file_added_is_told(snap: CommandLine, old: Path) -> None:
    lines = snap.ok("import", "old", "--database", "shop").out.splitlines()
    assert [line.split()[4] for line in lines[:3]] == sorted(path.name for path in old.iterdir())
    assert all(line.endswith(" new") for line in lines)
    assert lines[3].startswith("3 snapshots of 3 files")


def test_running_it_twice_adds_nothing(snap: CommandLine, old: Path) -> None:
    ask(snap, "old")
    before = log(snap)
    files = sorted((snap.work / "database" / "backups" / "packs").rglob("*"))
    done = snap.ok("import", "old", "--database", "shop", "--timezone", "UTC", "--json").json
    assert {file["outcome"] for file in done["files"]} == {"there-already"}
    assert [file["id"] for file in done["files"]] == [entry["id"] for entry in before[::-1]]
    assert (done["imported"], done["new_bytes"]) == (0, 0)
    assert log(snap) == before
    assert sorted((snap.work / "database" / "backups" / "packs").rglob("*")) == files
    assert (
        "there already" in snap.ok("import", "old", "--database", "shop", "--timezone", "UTC").out
    )


def test_a_file_whose_snapshot_is_forgotten_is_not_recorded_again(
    snap: CommandLine, old: Path
) -> None:
    ask(snap, "old")
    first = log(snap)[-1]["id"]
    snap.ok("forget", first[:12])
    done = snap.ok("import", "old", "--database", "shop", "--timezone", "UTC", "--json").json
    assert [file["outcome"] for file in done["files"]] == ["forgotten", *["there-already"] * 2]
    assert (done["files"][0]["id"], done["imported"]) == (first, 0)
    assert len(log(snap)) == 2


def test_the_same_contents_of_the_same_time_are_not_recorded_twice(
    snap: CommandLine, old: Path
) -> None:
    ask(snap, "old")
    before = log(snap)
    (snap.work / "copy_20260103_020000.sql").write_bytes(dump(1, 2, 3))
    ask(snap, "copy_20260103_020000.sql")
    assert log(snap) == before
    # Of another time they are: nothing changed between the two, and that is worth knowing.
    (snap.work / "copy_20260104_020000.sql").write_bytes(dump(1, 2, 3))
    ask(snap, "copy_20260104_020000.sql")
    assert len(log(snap)) == 4


def test_newer_snapshots_stay_the_latest_and_keep_their_parents(
    snap: CommandLine, old: Path
) -> None:
    (snap.work / "now.sql").write_bytes(dump(9))
    for number in (1, 2):
        snap.ok("commit", "-m", f"live {number}", "--file", "now.sql", "--database", "shop")
    live = log(snap)
    ask(snap, "old/backup_20260103_020000.sql.gz")
    ask(snap, "old/backup_20260101_020000.sql.zst")
    entries = log(snap)
    assert entries[:2] == live
    assert [entry["parent"] for entry in entries[2:]] == [None, None]
    # Between the two: its parent is the newest before its time, not the one imported last.
    ask(snap, "old/backup_20260102_020000.sql")
    entries = log(snap)
    assert entries[3]["parent"] == entries[4]["id"]
    assert snap.ok("show", "latest", "--json").json["message"] == "live 2"
    assert snap.ok("show", "@2026-01-02T12:00", "--json").json["rows"] == 2


def test_a_name_without_a_date_is_an_error_that_names_the_file(
    snap: CommandLine, old: Path
) -> None:
    (old / "shop.sql").write_bytes(dump(7))
    os.utime(old / "shop.sql", (1_700_000_000, 1_700_000_000))
    refused = snap("import", "old", "--database", "shop")
    assert refused.code == 2
    assert "old/shop.sql" in refused.err
    assert "--use-mtime" in refused.err
    assert log(snap) == []
    done = snap.ok("import", "old", "--database", "shop", "--use-mtime", "--json").json
    assert done["files"][0]["time"] == "2023-11-14T22:13:20Z"
    # The others keep the dates in their names.
    assert done["imported"] == 4
    assert len({entry["time"] for entry in log(snap)}) == 4
    assert any("of one database" in notice for notice in done["notices"])


def test_two_files_of_one_time_are_refused(snap: CommandLine, old: Path) -> None:
    (old / "blog_20260102_020000.sql").write_bytes(dump(7))
    refused = snap("import", "old", "--database", "shop")
    assert refused.code == 2
    assert "blog_20260102_020000.sql" in refused.err
    assert "two databases" in refused.err
    assert log(snap) == []


def test_names_of_one_file_and_copies_of_one_dump_are_one_snapshot(
    snap: CommandLine, old: Path
) -> None:
    weekly, monthly = snap.work / "weekly", snap.work / "monthly"
    for folder in (weekly, monthly):
        folder.mkdir()
    (old / "latest.sql.gz").symlink_to("backup_20260103_020000.sql.gz")
    (weekly / "backup_20260103_020000.sql.gz").hardlink_to(old / "backup_20260103_020000.sql.gz")
    (monthly / "backup_2026-01.sql.gz").hardlink_to(old / "backup_20260103_020000.sql.gz")
    # A copy, compressed in another way.
    (monthly / "backup_20260102_020000.sql.gz").write_bytes(gzip.compress(dump(1, 2)))
    done = snap.ok(
        *("import", "monthly", "weekly", "old", "--database", "shop", "--timezone", "UTC", "--json")
    ).json
    assert [file["time"] for file in done["files"]] == [
        f"2026-01-0{day}T02:00:00Z" for day in (1, 2, 3)
    ]
    assert done["imported"] == 3
    assert any("1 copy of" in notice for notice in done["notices"])


def test_a_name_whose_time_is_not_certain_is_refused_with_what_reads_it(
    snap: CommandLine, old: Path
) -> None:
    (old / "backup_23-12-2025_11_05_06.sql").write_bytes(dump(7))
    refused = snap("import", "old", "--database", "shop")
    assert refused.code == 2
    assert "--name-format '*%d-%m-%Y_%H_%M_%S*'" in refused.err
    assert log(snap) == []
    skipped = snap(
        *("import", "old", "--database", "shop", "--skip-bad", "--timezone", "UTC", "--json")
    )
    assert skipped.code == 30
    assert [file["outcome"] for file in skipped.json["files"]] == ["imported"] * 3 + ["unusable"]
    assert skipped.json["files"][3]["time"] is None
    assert "23-12-2025" in skipped.json["files"][3]["file"]
    read = snap.ok(
        *("import", "old/backup_23-12-2025_11_05_06.sql", "--database", "shop"),
        *("--name-format", "*%d-%m-%Y_%H_%M_%S*", "--timezone", "UTC", "--json"),
    ).json
    assert read["files"][0]["time"] == "2025-12-23T11:05:06Z"
    assert snap("import", "old", "--database", "shop", "--name-format", "%Y").code == 2


def test_a_time_in_the_future_is_refused(snap: CommandLine, old: Path) -> None:
    (old / "backup_21990101.sql").write_bytes(dump(7))
    assert "--timezone" in snap("import", "old", "--database", "shop").err


def test_files_that_are_no_dumps_are_left_alone_and_named(snap: CommandLine, old: Path) -> None:
    (old / "backup.log").touch()
    (old / ".backup_20260104_020000.sql.gz.1234.partial").touch()
    (old / "older").mkdir()
    done = snap.ok("import", "old", "--database", "shop", "--json").json
    assert done["imported"] == 3
    [notice] = done["notices"]
    assert notice.startswith("warning: 1 other file in ")
    assert "was left alone: backup.log" in notice
    assert "partial" not in notice


UNUSABLE = {
    "cut": dump(1, 2)[:-60],
    "cut in gzip": gzip.compress(dump(1, 2))[:-9],
    "empty": b"",
    "blank": b"\n\n",
    "archive": b"PGDMP" + bytes(100),
    "cluster": b"--\n-- PostgreSQL database cluster dump\n--\n\nSET x = 1;\n",
    "mysql": b"-- MySQL dump 10.13  Distrib 8.0.36\n--\n-- Host: localhost\n" + b"-" * 600,
    "mariadb": b"/*M!999999\\- enable the sandbox mode */ \n-- MariaDB dump 10.19\n" + b"-" * 600,
    "sqlite": b"PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\nCREATE TABLE t (a);\nCOMMIT;\n",
}


@pytest.mark.parametrize("kind", list(UNUSABLE))
def test_an_unusable_file_stops_the_import_or_is_left_out(
    snap: CommandLine, old: Path, kind: str
) -> None:
    (old / "backup_20260102_120000.sql.gz").write_bytes(UNUSABLE[kind])
    stopped = snap("import", "old", "--database", "shop")
    assert stopped.code == 30
    assert "backup_20260102_120000.sql.gz" in stopped.err
    assert "--skip-bad" in stopped.err
    # What came before it is told, and stays.
    assert len(stopped.out.splitlines()) == 3
    assert len(log(snap)) == 2
    again = snap("import", "old", "--database", "shop", "--json")
    assert again.code == 30
    assert [file["outcome"] for file in again.json["files"]] == ["there-already"] * 2
    assert "backup_20260102_120000.sql.gz" in again.error["message"]
    finished = snap("import", "old", "--database", "shop", "--skip-bad", "--json")
    assert finished.code == 30
    outcomes = [file["outcome"] for file in finished.json["files"]]
    assert outcomes == ["there-already", "there-already", "unusable", "imported"]
    assert finished.json["files"][2]["error"]
    assert "1 of 4 files" in finished.error["message"]
    assert "backup_20260102_120000.sql.gz" in finished.error["detail"]
    assert len(log(snap)) == 3


def test_an_import_that_was_killed_goes_on_where_it_stopped(snap: CommandLine, old: Path) -> None:
    shutil.rmtree(old)
    old.mkdir()
    for day in range(1, 29):
        rows = range(day * 10_000)
        (old / f"backup_202602{day:02d}_020000.sql").write_bytes(dump(*rows))
    arguments = ("import", "old", "--database", "shop", "--timezone", "UTC")
    child = snap.popen(*arguments)
    deadline = time.monotonic() + 60
    manifests = snap.work / "database" / "backups" / "snapshots"
    while time.monotonic() < deadline and child.poll() is None:
        if manifests.exists() and sum(1 for path in manifests.rglob("*") if path.is_file()) >= 3:
            break
        time.sleep(0.005)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    there = len(log(snap))
    assert 3 <= there < 28
    done = snap.ok(*arguments, "--json").json
    outcomes = [file["outcome"] for file in done["files"]]
    assert outcomes == ["there-already"] * there + ["imported"] * (28 - there)
    entries = log(snap)
    assert len(entries) == 28
    assert all(a["parent"] == b["id"] for a, b in pairwise(entries))


def test_a_tag_is_for_a_single_file(snap: CommandLine, old: Path) -> None:
    assert snap("import", "old", "--database", "shop", "--tag", "x").code == 2
    ask(snap, "old/backup_20260101_020000.sql.zst", "--tag", "first")
    assert snap.ok("show", "first", "--json").json["rows"] == 1
    again = snap("import", "old/backup_20260101_020000.sql.zst", "--database", "shop",
                 "--timezone", "UTC", "--tag", "again")  # fmt: skip
    assert again.code == 0
    assert "snap tag again" in again.err


def test_the_database_must_be_named(snap: CommandLine, old: Path) -> None:
    refused = snap("import", "old")
    assert refused.code == 2
    assert "--database NAME" in refused.err


def test_what_is_not_there_or_no_dump_is_refused_before_anything_is_read(
    snap: CommandLine, old: Path
) -> None:
    (snap.work / "empty").mkdir()
    directory = snap.work / "shop_20260101.dir"
    directory.mkdir()
    (directory / "toc.dat").touch()
    os.mkfifo(snap.work / "backup_20260101.sql")
    for name in ("nothing.sql", "empty", directory.name, "backup_20260101.sql"):
        assert snap("import", "old", name, "--database", "shop").code == 2, name
    assert log(snap) == []


def test_a_file_that_may_not_be_read_is_told_before_anything_is_imported(
    snap: CommandLine, old: Path
) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read every file: run the tests as an ordinary user")
    (old / "backup_20260102_020000.sql").chmod(0)
    assert snap("import", "old", "--database", "shop").code == 2
    assert log(snap) == []
