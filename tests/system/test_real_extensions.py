"""Extensions from Debian's packages, used for real: committed, compared, drilled, restored."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pgsnap.cluster.cluster import Cluster
from pgsnap.errors import RestoreFailed
from pgsnap.repository.repository import Repository
from pgsnap.sources.postgres import PostgresSource
from pgsnap.workflows.commit.commit import commit
from pgsnap.workflows.diff.diff import diff
from pgsnap.workflows.history.cat import cat
from support.restoring.clients import LABEL, new_repository, restore_now, server_of
from support.restoring.drilling import drill_now, failures
from support.servers.databases import TEST_SETTINGS, Database, is_volatile, new_name
from support.servers.debian import debian_server, install_extensions
from support.servers.used_extensions import PACKAGES, USED

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

CRON_DATABASE = "with_cron"


@pytest.fixture(scope="module")
def extended() -> Iterator[Cluster]:
    """A server of Debian's with all of the packages."""
    server = debian_server()
    install_extensions(server, PACKAGES)
    settings = {
        **TEST_SETTINGS,
        "shared_preload_libraries": "pg_cron,pgaudit",
        "cron.database_name": CRON_DATABASE,
    }
    with Cluster(server, fsync=False, settings=settings) as cluster:
        yield cluster


@pytest.fixture
def repo(tmp_path: Path) -> Iterator[Repository]:
    with new_repository(tmp_path / "repo") as opened:
        yield opened


def used(cluster: Cluster, name: str, start: str) -> Database:
    database = CRON_DATABASE if name == "pg_cron" else new_name("with")
    cluster.create_database(database)
    made = Database(cluster, database)
    made.psql(start)
    return made


@pytest.mark.parametrize("name", USED)
def test_an_extension_in_use_comes_back_as_it_was(
    extended: Cluster, repo: Repository, tmp_path: Path, name: str
) -> None:
    case = USED[name]
    database = used(extended, name, case.start)
    server = server_of(database)
    source = PostgresSource(server)
    snapshot = commit(repo, source, database=LABEL, message=name).snapshot_id
    assert source.doubts == ()
    text = b"".join(cat(repo, snapshot)).splitlines(keepends=True)
    assert b"".join(line for line in text if not is_volatile(line)) == database.dump()
    report = drill_now(repo, snapshot, server, tmp_path)
    assert list(failures(report)) == ([case.fails] if case.fails else [])
    if case.notes is not None:
        assert len(report.notices) == bool(case.notes)
        assert all(words in report.notices[0] for words in case.notes)
    assert not diff(repo, snapshot, PostgresSource(server)).contents_differ
    before = database.psql(case.ask)
    assert before
    restored = restore_now(repo, snapshot, server)
    assert restored.warnings == ()
    assert database.psql(case.ask) == before
    database.psql(case.write)


def test_a_bare_name_in_an_extension_is_told_and_the_way_out_works(
    extended: Cluster, repo: Repository
) -> None:
    database = used(
        extended,
        "earthdistance",
        "CREATE EXTENSION earthdistance CASCADE; CREATE TABLE spot AS"
        " SELECT g AS id, g::float8 AS lat, g::float8 AS lon FROM generate_series(1, 20) g;"
        "CREATE INDEX spot_at ON spot USING gist (ll_to_earth(lat, lon))",
    )
    source = PostgresSource(server_of(database))
    snapshot = commit(repo, source, database=LABEL, message="bare").snapshot_id
    assert ["earthdistance" in doubt for doubt in source.doubts] == [True]
    with pytest.raises(RestoreFailed):
        restore_now(repo, snapshot, server_of(database))
    database.psql(
        "DROP INDEX spot_at; CREATE FUNCTION at_earth(float8, float8) RETURNS earth LANGUAGE sql"
        " IMMUTABLE SET search_path = public AS 'SELECT ll_to_earth($1, $2)';"
        "CREATE INDEX spot_at ON spot USING gist (at_earth(lat, lon))"
    )
    source = PostgresSource(server_of(database))
    snapshot = commit(repo, source, database=LABEL, message="wrapped").snapshot_id
    assert source.doubts == ()
    restore_now(repo, snapshot, server_of(database))
    assert database.psql("SELECT count(*) FROM spot; SELECT to_regclass('spot_at')") == (
        "20\nspot_at"
    )
