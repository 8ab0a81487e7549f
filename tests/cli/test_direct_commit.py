"""`source = "direct"` in snap.toml: rows read over several connections."""

from __future__ import annotations

import pytest

from support.running.commandline import CommandLine
from support.servers.databases import Database

ROWS = "CREATE TABLE t (i int); INSERT INTO t SELECT generate_series(1, 1000)"


@pytest.fixture
def snap(snap: CommandLine, database: Database) -> CommandLine:
    snap.use_tools_of(database.cluster)
    snap.ok("init", "--repo", "repo")
    database.psql(ROWS)
    return snap


def write_settings(snap: CommandLine, database: Database, text: str) -> None:
    toml = f'repository = "repo"\ndsn = "{database.dsn}"\n{text}\n'
    (snap.work / "snap.toml").write_text(toml)


def test_a_direct_commit_records_what_a_streamed_one_records(
    snap: CommandLine, database: Database
) -> None:
    write_settings(snap, database, 'source = "stream"')
    snap.ok("commit", "-m", "streamed")
    write_settings(snap, database, 'source = "direct"')
    for jobs in ((), ("--jobs", "1"), ("--jobs", "3")):
        done = snap.ok("commit", "-m", "direct", "--verbose", *jobs)
        assert "nothing changed" in done.out
        assert "pg_dump alone" not in done.err


def test_where_pg_dump_reads_the_rows_alone_verbose_says_why(
    snap: CommandLine, database: Database
) -> None:
    write_settings(snap, database, 'source = "direct"')
    database.psql(
        "CREATE TYPE e AS ENUM ('a'); CREATE TABLE h (v e) PARTITION BY HASH (v);"
        "CREATE TABLE h0 PARTITION OF h FOR VALUES WITH (MODULUS 1, REMAINDER 0)"
    )
    assert "the hash of an enum" in snap.ok("commit", "-m", "one", "--verbose").err
    assert "the hash of an enum" not in snap.ok("commit", "-m", "two").err


@pytest.mark.parametrize("more", [(), ("--file", "-")])
def test_jobs_are_refused_where_they_have_no_use(
    snap: CommandLine, database: Database, more: tuple[str, ...]
) -> None:
    write_settings(snap, database, 'source = "direct"' if more else "")
    done = snap("commit", "-m", "one", "--jobs", "2", *more)
    assert done.code == 2
    assert "--jobs has no use here" in done.err
    assert ('Put source = "direct" into' in done.err) is not bool(more)


def test_another_source_is_refused(snap: CommandLine, database: Database) -> None:
    write_settings(snap, database, 'source = "both"')
    done = snap("commit", "-m", "one")
    assert done.code == 2
    assert 'must be "direct" or "stream"' in done.err
