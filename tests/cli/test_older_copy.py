"""An older copy of the repository is put back, whole or over the newer one: nothing that is there
is lost, whatever is committed next can be read, and what the notes lack is named."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from support.dumps.scripted import shop
from support.running.commandline import CommandLine
from support.servers.databases import Database

INDEX = "index.sqlite"


def put_back(older: Path, repo: Path, *, index: bool, rest: bool, over: bool) -> None:
    """Copy the index of *older* or the rest to *repo*, *over* what is there or in its place."""
    for found in list(repo.iterdir()):
        is_index = found.name.startswith(INDEX)
        if not over and (index if is_index else rest):
            shutil.rmtree(found) if found.is_dir() else found.unlink()
    for found in older.iterdir():
        if not (index if found.name.startswith(INDEX) else rest):
            continue
        if found.is_dir():
            shutil.copytree(found, repo / found.name, dirs_exist_ok=True)
        else:
            shutil.copy2(found, repo / found.name)


@pytest.mark.parametrize(
    ("index", "rest", "over"),
    [
        (True, True, True),
        (True, False, True),
        (False, True, True),
        (True, True, False),
        (False, True, False),
    ],
)
def test_what_is_committed_after_an_older_copy_was_put_back_reads_back(
    snap: CommandLine, index: bool, rest: bool, over: bool
) -> None:
    def commit(name: str, count: int) -> None:
        text = b"".join(text for _, text in shop(count).texts)
        (snap.work / "dump.sql").write_bytes(text)
        snap.ok("commit", "-m", name, "--tag", name, "--file", "dump.sql", "--database", "shop")

    snap.ok("init")
    commit("one", 400)
    repo, older = snap.work / "database" / "backups", snap.work / "older"
    shutil.copytree(repo, older)
    commit("two", 9000)
    before = {name: snap.ok("cat", name).out for name in ("one", "two")}
    put_back(older, repo, index=index, rest=rest, over=over)
    assert snap.ok("cat", "one").out == before["one"]
    if over:
        assert snap.ok("cat", "two").out == before["two"]
        snap.ok("verify", "--data")
    commit("again", 9000)
    # Whatever the index remembers: what it takes for stored is there.
    assert snap.ok("cat", "again").out == before["two"]
    if not over and not index:
        # Known and missing: nothing is dropped around it, and it is named.
        assert snap("gc").code == 60
        assert snap("verify").code == 60
        snap.ok("reindex")
    snap.ok("gc", "--grace", "0s", "--keep-last", "1")
    snap.ok("verify", "--data")
    assert snap.ok("cat", "again").out == before["two"]


def test_a_kept_database_whose_note_an_older_repository_lacks_is_named(
    snap: CommandLine, database: Database
) -> None:
    snap.setenv("DATABASE_URL", database.dsn)
    database.psql("CREATE TABLE t AS SELECT 1 AS a")
    snap.ok("init")
    snap.ok("commit", "-m", "one", "--tag", "one")
    repo, older, newer = (snap.work / name for name in ("database/backups", "older", "newer"))
    shutil.copytree(repo, older)
    database.psql("INSERT INTO t VALUES (2)")
    snap.ok("restore", "one", "--yes")
    repo.rename(newer)
    shutil.copytree(older, repo)
    refused = snap("undo", "--yes", "--json")
    assert refused.code == 40
    found = f"SELECT datname FROM pg_database WHERE datname ~ '^{database.name}__snap_kept_'"
    (kept,) = database.cluster.psql(found).splitlines()
    assert kept in refused.error["detail"]
    assert f'ALTER DATABASE "{kept}" RENAME TO "{database.name}";' in refused.error["hint"]
    assert "snap repair --from PATH" in refused.error["hint"]
    assert database.psql("SELECT a FROM t ORDER BY a") == "1"
    snap.ok("repair", "--from", str(newer))
    snap.ok("undo", "--yes")
    assert database.psql("SELECT a FROM t ORDER BY a") == "1\n2"
