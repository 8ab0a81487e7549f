"""What `--json` prints of a fixed database and a fixed repository has the names, the order and the
kinds of values that it always had."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from support.documents import shapes
from support.faults.damaging import DUMPS, flip
from support.running.commandline import CommandLine
from support.servers.databases import Database

SERVICE = '[services.web]\nstop = "true"\nstart = "true"\n'
EXTENSION = """\
CREATE EXTENSION citext;
CREATE TABLE job (id int PRIMARY KEY, what text);
INSERT INTO job VALUES (1, 'one'), (2, 'two');
ALTER EXTENSION citext ADD TABLE job;
"""
CONFIGURE = """\
UPDATE pg_extension SET extconfig = ARRAY['job'::regclass::oid], extcondition = ARRAY['']
WHERE extname = 'citext';
"""


class Scene:
    """Runs of snap with --json, and what they printed."""

    def __init__(self, snap: CommandLine) -> None:
        self.snap = snap
        self.printed: dict[str, Any] = {}

    def __call__(self, *words: str, code: int = 0, title: str = "") -> Any:
        done = self.snap(*words, "--json")
        assert done.code == code, done.err
        found = done.json if done.out else {"error": done.error}
        shown = " ".join(word for word in words if len(word) < 64)
        self.printed[title or f"snap {shown}"] = found
        return found


@pytest.fixture
def scene(snap: CommandLine) -> Scene:
    return Scene(snap)


def test_shapes_of_a_repository_of_dumps(scene: Scene) -> None:
    snap = scene.snap
    scene("init")
    for name in ("shop-1", "shop-2"):
        (snap.work / f"{name}.sql").write_text(DUMPS[name])
        scene("commit", "-m", name, "--file", f"{name}.sql", "--database", "shop", "--tag", name)
    backups = snap.work / "old"
    backups.mkdir()
    (backups / "backup_20260101_020000.sql").write_text(DUMPS["blog-1"])
    (backups / "backup_20260102_020000.sql").write_text("no dump")
    (backups / "undated.sql").write_text("no dump")
    scene("import", "old", "--database", "blog", "--timezone", "UTC", "--skip-bad", code=30)
    scene("log", "--database", "shop")
    scene("show", "shop-2")
    scene("diff", "shop-1", "shop-2")
    scene("diff", "shop-1", "shop-2", "--schema")
    scene("diff", "shop-1", "shop-2", "--table", "orders", "--rows", "--limit", "3")
    scene("tag", "--database", "shop")
    scene("tag", "third", "shop-1", "--database", "shop")
    scene("tag", "--force", "third", "shop-2", "--database", "shop")
    scene("tag", "--delete", "third", "--database", "shop")
    scene("export", "shop-1", "out.sql.gz")
    scene("verify")
    scene("verify", "--data")
    scene("stats")
    scene("stats", "--by-table", "--database", "shop")
    scene("forget", "--force", "shop-1")
    scene("log", "--forgotten")
    scene("gc", "--dry-run", "--keep-last", "1")
    scene("unforget", next(one["id"] for one in snap.ok("log", "--forgotten", "--json").json))
    scene("tag", "--delete", "shop-2", "--database", "shop")
    scene("gc", "--keep-last", "1", "--database", "shop")
    scene("gc", "--keep-last", "1", "--grace", "0s")
    scene("reindex")
    scene("database", "list")
    scene("database", "rename", "blog", "log")
    scene("database", "retire", "shop")
    scene("audit")
    scene("help", "exit-codes")
    scene("help", "commit")
    scene("show", "nothing", code=20)
    shapes.compare("dumps", scene.printed)


def test_shapes_of_a_damaged_repository(scene: Scene) -> None:
    snap = scene.snap
    snap.ok("init", "store")
    (snap.work / "dump.sql").write_text(DUMPS["shop-1"])
    snap.ok("commit", "-m", "x", "--file", "dump.sql", "--database", "shop", "--tag", "one")
    shutil.copytree(snap.work / "store", snap.work / "copy")
    [pack] = (file for file in (snap.work / "store" / "packs").rglob("*") if file.is_file())
    flip(pack, pack.stat().st_size // 2)
    scene("verify", "--data", code=60)
    scene("check", "--no-connect", code=4)
    scene("repair", code=60)
    scene("repair", "--from", "copy", title="snap repair --from")
    [pack, *_] = (file for file in (snap.work / "store" / "packs").rglob("*") if file.is_file())
    flip(pack, pack.stat().st_size // 2)
    snap("repair")
    scene("repair", "--accept-loss", "one", "--yes")
    shapes.compare("damage", scene.printed)


def test_shapes_of_a_schedule(scene: Scene, tmp_path: Path) -> None:
    scene.snap.ok("init")
    program = tmp_path / "bin" / "crontab"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\n[ "$1" = - ] && exec cat > "{tmp_path}/table"\ncat "{tmp_path}/table"\n'
    )
    program.chmod(0o755)
    (tmp_path / "table").write_text("")
    scene.snap.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    install = ("schedule", "install", "--with", "cron", "--commit", "@daily", "--gc", "@weekly")
    scene(*install, "--dry-run")
    scene(*install)
    scene("schedule", "show", title="snap schedule show, before a run")
    scene.snap("schedule", "run", "gc", "--log")
    scene("schedule", "show")
    scene("check", "--no-connect", "--no-notify", code=4)
    scene("schedule", "remove")
    shapes.compare("schedule", scene.printed)


def test_shapes_of_a_live_database(scene: Scene, sample_database: Database) -> None:
    snap = scene.snap
    snap.setenv("DATABASE_URL", sample_database.dsn)
    snap.ok("init")
    (snap.work / "snap.toml").write_text(SERVICE)
    scene("doctor", code=4, title="snap doctor, before a commit")
    scene("commit", "-m", "first", "--tag", "one")
    scene("commit", "-m", "again", "--skip-unchanged")
    sample_database.psql(
        "UPDATE shop.products SET title = title || id WHERE id % 2 = 0;"
        "SELECT setval('shop.orders_id_seq', 9999999); ALTER TABLE shop.users ADD extra int"
    )
    scene("diff", "one")
    scene("diff", "one", "--schema")
    scene("diff", "one", "--table", "shop.products", "--rows", "--limit", "2")
    scene("drill", "one", "--dry-run")
    scene("drill", "one")
    scene("show", "one")
    scene("restore", "one", "--table", "shop.chat_messages", "--yes")
    scene("restore", "one", "--yes")
    scene("log")
    scene("check")
    scene("doctor", code=0)
    scene("doctor", "--start-services")
    scene("undo", "--yes")
    scene("undo", "--discard", "--yes")
    copy = f"{sample_database.name}_copy"
    scene("restore", "one", "--to", copy, "--yes", title="snap restore one --to")
    sample_database.cluster.psql(f'DROP DATABASE "{copy}"', "postgres")
    scene("commit", "-m", "x", "--tag", "one", code=10)
    scene("database", "list")
    scene("gc", "--keep-last", "1", "--grace", "0s")
    shapes.compare("live", scene.printed)


def test_shapes_of_rows_of_an_extension(scene: Scene, database: Database) -> None:
    database.psql(EXTENSION)
    database.psql(CONFIGURE)
    scene.snap.setenv("DATABASE_URL", database.dsn)
    scene.snap.ok("init")
    scene("commit", "-m", "first", "--tag", "one")
    database.psql("DELETE FROM job")
    scene("restore", "one", "--table", "job", "--data-only", "--yes")
    scene("show", "one")
    shapes.compare("extension", scene.printed)


def test_the_report_of_a_drill_is_what_it_prints(scene: Scene, database: Database) -> None:
    database.psql("CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 2)")
    scene.snap.setenv("DATABASE_URL", database.dsn)
    scene.snap.ok("init")
    scene.snap.ok("commit", "-m", "first")
    printed = scene("drill")
    written = json.loads((scene.snap.work / "rollback-test-report.json").read_text())
    assert written == printed
