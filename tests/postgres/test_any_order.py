"""`restore --any-order`: several psql share the rows of a table, as strictly as one loads them."""

from __future__ import annotations

import time

import pytest

from pgsnap.errors import CorruptionError, RestoreFailed, SnapError, UsageError
from pgsnap.masking.masks import Masks
from pgsnap.model import SectionEnd
from pgsnap.repository.chunks import stream
from pgsnap.repository.repository import Repository
from pgsnap.sessions.server import Server
from pgsnap.sources.postgres import PostgresSource
from pgsnap.targets.load.feeder import Feeder
from pgsnap.workflows.commit.commit import commit
from pgsnap.workflows.commit.former import Policy
from pgsnap.workflows.restore.plan import RestoreOptions
from support.restoring.clients import (
    LABEL,
    commit_database,
    databases_like,
    restore_now,
    server_of,
)
from support.servers.databases import Database

# One row is longer than a chunk; some have what COPY escapes.
SCHEMA = r"""
CREATE TABLE large (id serial PRIMARY KEY, words text UNIQUE);
INSERT INTO large (words) SELECT i || repeat(md5(i::text), 20) FROM generate_series(1, 6000) i;
INSERT INTO large (words) SELECT i || E'\n\\.\n\t\\' FROM generate_series(1, 500) i;
INSERT INTO large VALUES (0, NULL);
CREATE TABLE longest (words text);
ALTER TABLE longest ALTER words SET STORAGE external;
INSERT INTO longest SELECT repeat(chr(65 + i), i * 3000000) FROM generate_series(1, 3) i;
CREATE TABLE small (id int PRIMARY KEY REFERENCES large);
INSERT INTO small SELECT i FROM generate_series(1, 100) i;
"""
ROWS = (
    "SELECT count(*), sum(hashtextextended(l::text, 1)) FROM large l UNION ALL"
    " SELECT count(*), sum(hashtextextended(l::text, 1)) FROM longest l ORDER BY 1"
)
OPTIONS = RestoreOptions(jobs=3, any_order=True, baseline=True, keep_replaced=9)


@pytest.fixture(autouse=True)
def shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Share the rows of every table that is loaded aside."""
    monkeypatch.setattr("pgsnap.workflows.restore.aside.ASIDE_BYTES_MIN", 100_000)
    monkeypatch.setattr("pgsnap.workflows.restore.aside.Aside._share", lambda *_: 1)


@pytest.fixture
def large(database: Database) -> Database:
    database.psql(SCHEMA)
    return database


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The rows of each COPY, of each psql that loaded anything."""
    found: list[list[int]] = []
    judge, send = Feeder._judge, Feeder._send
    met: set[int] = set()

    def meeting(self: Feeder, block: bytes) -> None:
        # So that none loads all before another one has begun. Rows, and whole ones.
        if len(block) > 50_000 and block.endswith(b"\n"):
            met.add(id(self))
            deadline = time.monotonic() + 60
            while len(met) < 2 and time.monotonic() < deadline:
                time.sleep(0.01)
        send(self, block)

    def judged(self: Feeder, status: int, *, sentinel_seen: bool) -> None:
        judge(self, status, sentinel_seen=sentinel_seen)
        found.append([rows for rows in self.counts if rows])

    monkeypatch.setattr(Feeder, "_judge", judged)
    monkeypatch.setattr(Feeder, "_send", meeting)
    return found


def direct(repo: Repository, server: Server, policy: Policy | None = None) -> None:
    source = PostgresSource(server, jobs=2)
    commit(repo, source, database=LABEL, message="direct", policy=policy or Policy())


def test_several_psql_share_a_table_and_the_next_commit_reads_it(
    repo: Repository, large: Database, copies: list[list[int]]
) -> None:
    server = server_of(large)
    snapshot = commit_database(repo, server)
    before = large.psql(ROWS)
    report = restore_now(repo, snapshot, server, OPTIONS)
    assert report.rows == repo.snapshot(snapshot).rows
    assert set(report.in_any_order) == {"public.large", "public.longest"}
    assert large.psql(ROWS) == before
    assert large.psql("SELECT count(*) FROM small JOIN large USING (id)") == "100"
    # More COPY than tables with rows: at least one of these was shared.
    assert sum(map(len, copies)) > 3
    # Of a table whose rows have another order nothing is taken over, which a full read confirms.
    direct(repo, server)
    direct(repo, server, Policy(is_full=True))


def test_no_part_counts_when_one_of_them_fails(
    repo: Repository, large: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = server_of(large)
    snapshot = commit_database(repo, server)
    before = large.psql(ROWS)
    send = Feeder._send
    killed: list[Feeder] = []

    def fails(expected: type[SnapError], match: str) -> None:
        with pytest.raises(expected, match=match):
            restore_now(repo, snapshot, server, OPTIONS)
        assert large.psql(ROWS) == before
        assert databases_like(large, f"{large.name}\\_\\_snap%") == []

    def dying(self: Feeder, block: bytes) -> None:
        send(self, block)
        if len(block) > 50_000 and self.is_part and not killed and b"COPY" not in block:
            killed.append(self)
            self.kill()

    with monkeypatch.context() as patch:
        patch.setattr(Feeder, "_send", dying)
        fails(RestoreFailed, "psql")
    assert killed

    # Its end is damaged: by then all of its rows have been sent.
    real = stream._one_section

    def damaged(section, check, parts):  # type: ignore[no-untyped-def]
        for event in real(section, check, parts):
            if section.name.name == "large" and isinstance(event, SectionEnd):
                raise CorruptionError("chunk 0123 is damaged")
            yield event

    with monkeypatch.context() as patch:
        patch.setattr(stream, "_one_section", damaged)
        fails(CorruptionError, "chunk 0123")


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (RestoreOptions(jobs=1, any_order=True), "--jobs 1"),
        (RestoreOptions(to="copy", any_order=True, masks=Masks("masks.toml", {})), "--mask"),
    ],
)
def test_what_it_does_not_fit_is_refused(
    repo: Repository, database: Database, options: RestoreOptions, match: str
) -> None:
    server = server_of(database)
    with pytest.raises(UsageError, match=match):
        restore_now(repo, commit_database(repo, server), server, options)
