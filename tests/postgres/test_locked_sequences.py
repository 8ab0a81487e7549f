"""Sequences of extensions that somebody has locked: a commit waits for them no longer than for a
table, goes on, and says which it lacks."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from pgsnap.sources.extensions import left_behind, read_sequences
from pgsnap.sources.postgres import PostgresSource
from pgsnap.workflows.commit.commit import commit
from support.restoring.clients import LABEL, new_repository, server_of
from support.servers.databases import Database
from support.servers.extensions import add_extension


@pytest.mark.parametrize("client", ["psycopg", "psql"])
def test_a_locked_sequence_is_waited_for_within_bounds_and_told(
    database: Database, tmp_path: Path, client: str
) -> None:
    name = add_extension(database.cluster)
    database.psql(
        f"CREATE EXTENSION \"{name}\"; INSERT INTO \"{name}\".job (what) VALUES ('a'), ('b');"
        f"SELECT nextval('\"{name}\".\"odd.one''s\"')"
    )
    server = server_of(database)
    with new_repository(tmp_path / "repo") as repo, psycopg.connect(database.dsn) as other:
        with server.connect(database.name) as session:
            assert [value.name for value in read_sequences(session, 9)[0]] == [
                "job_id_seq",
                "odd.one's",
            ]
            other.execute(
                f'ALTER SEQUENCE "{name}"."odd.one\'\'s" OWNER TO CURRENT_USER'.replace("''", "'")
            )
            found, locked = read_sequences(session, 0.1)
            # Its lock was for that statement only.
            assert session.query("SHOW lock_timeout") == [("0",)]
        assert [value.name for value in found] == ["job_id_seq"]
        assert [(each.name, each.kind, each.is_known) for each in locked] == [
            ("odd.one's", "sequence", False)
        ]
        if server.version_num >= 180000:
            # Since 18 pg_dump itself looks into every sequence, and waits without limit.
            return
        source = PostgresSource(server, lock_wait_timeout_seconds=0.1)
        origin = commit(repo, source, database=LABEL, message="x").snapshot.origin
    (words,) = left_behind(origin)
    assert "could not be looked into" in words
    assert "odd.one's" in words
