"""A drill of a snapshot that was made without something says what it proves, and what not."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from pgsnap.cli.views.drill import drill_fields, drill_lines
from pgsnap.cli.views.snapshot import drill_mark
from pgsnap.sources.postgres import PostgresSource
from pgsnap.workflows.commit.commit import commit
from pgsnap.workflows.notes.verdicts import drilled, newest_verified, proofs
from support.restoring.clients import LABEL, commit_database, new_repository, server_of
from support.restoring.drilling import drill_now, failures
from support.servers.databases import Database


def test_what_a_drill_of_a_part_proves_is_said_and_it_takes_no_whole_one_s_place(
    database: Database, tmp_path: Path
) -> None:
    with new_repository(tmp_path / "repo") as repo:
        database.psql("CREATE TABLE t AS SELECT 1 AS id; CREATE TABLE big AS SELECT 2 AS id")
        server = server_of(database)
        whole = commit_database(repo, server)
        assert drill_now(repo, whole, server, tmp_path).left_out == ""
        source = PostgresSource(server, exclude_table_data=("big",))
        part = commit(repo, source, database=LABEL, message="part").snapshot_id
        report = drill_now(repo, part, server, tmp_path)
        assert failures(report) == {}
        lines = drill_lines(report, verbose=False, colour=False)
        words = "only a part is tried: the snapshot was made without the rows of big"
        assert words in lines
        assert drill_fields(report)["left_out"] == "the rows of big"
        assert drilled(repo)[part].left_out == "the rows of big"
        assert drilled(repo)[whole].left_out == ""
        assert newest_verified(repo.newest(LABEL), proofs(repo)) == whole
        assert drill_mark(drilled(repo)[part], datetime.now(UTC)).endswith(
            "(without the rows of big)"
        )
