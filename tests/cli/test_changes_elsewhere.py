"""Commits that read only what changed, in an encrypted repository and in clones: what they record
is restored as pg_dump writes it."""

from __future__ import annotations

import re

import pytest

from support.dumps.round_trips import without_volatile
from support.repositories.by_passphrase import secret_file
from support.running.commandline import CommandLine
from support.servers.databases import Database, new_name

TABLES = """
CREATE TABLE a (id int PRIMARY KEY, v int, t text);
INSERT INTO a SELECT g, g, repeat(md5(g::text), 5) FROM generate_series(1, 20000) g;
CREATE TABLE b AS SELECT * FROM a;
VACUUM FREEZE a; VACUUM FREEZE b;
"""
CHANGES = (
    "UPDATE a SET v = 0 WHERE id % 2000 = 7",
    "DELETE FROM b WHERE id < 50; INSERT INTO a VALUES (0, 0, 'new')",
    "UPDATE b SET t = 'x' WHERE id = 9000",
)


@pytest.mark.parametrize("is_encrypted", [False, True], ids=["plain", "encrypted"])
def test_changes_are_recorded_in_a_repository_and_in_its_clone(
    snap: CommandLine, database: Database, *, is_encrypted: bool
) -> None:
    encrypts = ["--encrypt"] if is_encrypted else []
    database.psql(TABLES)
    snap.use_tools_of(database.cluster)
    if encrypts:
        secret = secret_file(snap.folder, "passphrase", b"open sesame\n")
        snap.setenv("SNAP_PASSPHRASE_FILE", str(secret))
    snap.ok("init", "--repo", "one", *encrypts)
    use(snap, database, "one")
    snap.ok("commit", "-m", "all")
    for change in CHANGES[:2]:
        database.psql(change)
        check_commit(snap, database)
    snap.ok("clone", str(snap.work / "one"), "two", *encrypts)
    use(snap, database, "two")
    for change in CHANGES[2:]:
        database.psql(change)
        check_commit(snap, database)
    snap.ok("verify", "--data")


def use(snap: CommandLine, database: Database, repository: str) -> None:
    toml = f'repository = "{repository}"\ndsn = "{database.dsn}"\nsource = "direct"\n'
    (snap.work / "snap.toml").write_text(toml)


def check_commit(snap: CommandLine, database: Database) -> None:
    """Commit what changed, and restore it to a new database, which equals the live one."""
    result = snap.ok("--verbose", "commit", "-m", "changes")
    found = re.search(r"read (\d+) of (\d+) blocks", result.err)
    assert found, result.err
    assert 0 < int(found[1]) < int(found[2])
    name = new_name("changes")
    try:
        snap.ok("restore", "latest", "--to", name, "--yes", "--jobs", "2")
        restored = Database(database.cluster, name).dump()
    finally:
        database.cluster.drop_database(name)
    assert without_volatile(restored) == without_volatile(database.dump())
