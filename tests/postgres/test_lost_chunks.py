"""A commit that reads only what changed takes nothing over that is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgsnap.model import ReadMode
from pgsnap.repository.repository import Repository
from pgsnap.sources.postgres import PostgresSource
from pgsnap.workflows.commit.commit import CommitReport, commit
from pgsnap.workflows.history.cat import cat
from postgres.test_direct_source import stable
from support.repositories.made import make
from support.restoring.clients import server_of
from support.servers.databases import Database

# The second table shares the chunks of its rows with the first.
TABLES = """
CREATE TABLE a (id int, v text) WITH (autovacuum_enabled = off);
INSERT INTO a SELECT i, md5(i::text) FROM generate_series(1, 9000) i;
CREATE TABLE b (id int, v text) WITH (autovacuum_enabled = off);
INSERT INTO b SELECT * FROM a;
"""


def commit_changes(path: Path, database: Database) -> CommitReport:
    source = PostgresSource(server_of(database), jobs=2)
    with Repository.open(path) as repo:
        return commit(repo, source, database="shop", message="one")


def pack_files(path: Path) -> set[Path]:
    return {file for file in (path / "packs").rglob("*") if file.is_file()}


@pytest.mark.parametrize("change", ["", "UPDATE a SET v = 'n' WHERE id = 78"])
def test_what_is_lost_is_read_from_the_database_once_more(
    tmp_path: Path, database: Database, change: str
) -> None:
    path = make(tmp_path / "repo")
    database.psql(TABLES)
    commit_changes(path, database)
    (first,) = pack_files(path)
    # The baseline and what tells blocks apart get into another pack.
    database.psql("UPDATE a SET v = 'n' WHERE id = 77")
    reading = commit_changes(path, database).snapshot.reading
    assert reading is not None
    assert reading.mode is ReadMode.CHANGED
    first.unlink()
    database.psql(change)
    report = commit_changes(path, database)
    with Repository.open(path) as repo:
        assert stable(b"".join(cat(repo, report.snapshot_id))) == database.dump()
        assert b"CREATE ROLE" in b"".join(cat(repo, report.snapshot_id, sections=["globals"]))
