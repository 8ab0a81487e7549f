"""`snap log` leaves out safety snapshots; `--all` shows them, with tags that can be typed."""

from __future__ import annotations

from support.dumps.texts import plain_dump
from support.running.commandline import CommandLine
from support.servers.databases import Database


def test_safety_snapshots_are_left_out_of_the_log_but_not_of_its_json(snap: CommandLine) -> None:
    snap.ok("init")
    tags = [
        ("one",),
        ("before-restore/20260101T000000Z-1",),
        ("before-restore/20260102T000000Z-1",),
        ("before-restore/20260102T000000Z-2",),
        ("two",),
        ("before-undo/20260103T000000Z-1", "mine"),
        ("before-undo/20260104T101500Z-1",),
        ("before-undo/20260104T111500Z-1",),
    ]
    for count, names in enumerate(tags, 1):
        (snap.work / "dump.sql").write_bytes(plain_dump(*map(str, range(count))))
        words = [word for name in names for word in ("--tag", name)]
        snap.ok("commit", "-m", f"m{count}", "--file", "dump.sql", "--database", "shop", *words)
    shown = snap.ok("log", "--oneline")
    assert [line.split()[-1] for line in shown.out.splitlines()] == ["m6", "m5", "m1"]
    assert "5 safety snapshots of restores are not shown, the newest snapshot among" in shown.err
    assert "snap log --all" in shown.err
    few = snap.ok("log", "-n", "2")
    assert few.out.count("snapshot ") == 2
    assert "2 safety snapshots" in few.err
    # What is older than the last that is shown is not missed, however few are asked for.
    for limit, left_out in ((1, "2 safety"), (2, "2 safety"), (3, "5 safety"), (9, "5 safety")):
        some = snap.ok("log", "--oneline", "-n", str(limit))
        assert some.out.splitlines() == shown.out.splitlines()[:limit]
        assert left_out in some.err
    assert len(snap.ok("log", "--all", "--oneline").out.splitlines()) == 8
    entries = snap.ok("log", "--json").json
    assert len(entries) == 8
    assert entries[-2]["tags"] == ["before-restore/20260101T000000Z-1"]
    # What the page shortens is understood.
    page = snap.ok("log", "--all").out
    for short, message in {
        "before-restore/20260101": "m2",
        "before-restore/20260102T000000Z-2": "m4",
        "before-undo/20260103": "m6",
        "before-undo/20260104T1115": "m8",
    }.items():
        assert f"{short})" in page or f"{short}," in page
        assert snap.ok("show", short, "--json").json["message"] == message
    refused = snap("show", "before-undo/20260104")
    assert refused.code == 20
    assert "before-undo/20260104T101500Z-1" in refused.err
    assert snap("show", "before-undo/2027").code == 20


def test_where_there_are_only_safety_snapshots_they_are_shown(snap: CommandLine) -> None:
    snap.ok("init")
    (snap.work / "dump.sql").write_bytes(plain_dump("1"))
    tag = ("--tag", "before-restore/20260101T000000Z-1")
    snap.ok("commit", "-m", "x", "--file", "dump.sql", "--database", "shop", *tag)
    shown = snap.ok("log", "--oneline")
    assert "before-restore/20260101" in shown.out
    assert "not shown" not in shown.err


def test_what_a_restore_of_what_differs_records_first_is_a_safety_snapshot_too(
    snap: CommandLine, database: Database
) -> None:
    snap.setenv("DATABASE_URL", database.dsn)
    database.psql("CREATE TABLE t (a int PRIMARY KEY); INSERT INTO t VALUES (1)")
    snap.ok("init")
    first = snap.ok("commit", "-m", "first", "--json").json["id"]
    database.psql("INSERT INTO t VALUES (2)")
    snap.ok("restore", first, "--changed-only", "--yes")
    assert len(snap.ok("log", "--oneline").out.splitlines()) == 1
    assert snap.ok("diff", "--json").json["before"]["id"] == first
