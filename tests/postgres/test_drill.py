"""The drill on a real server: a healthy snapshot passes, and what is wrong fails by its name."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pgsnap import interrupts
from pgsnap.cluster.cluster import Cluster
from pgsnap.interrupts import Stopped
from pgsnap.repository.repository import Repository
from pgsnap.runners.local import LocalRunner
from pgsnap.sessions.base import Session
from pgsnap.sessions.endpoint import Endpoint
from pgsnap.sessions.server import Server
from pgsnap.sources.postgres import PostgresSource
from pgsnap.targets.naming import new_token, scratch_name
from pgsnap.targets.swap.dropping import drop_database
from pgsnap.targets.swap.scratch import drop_leftovers
from pgsnap.workflows.commit.commit import commit
from pgsnap.workflows.drill.report import CHECKS, OF_COPY
from pgsnap.workflows.notes.verdicts import Proof, drilled, proofs
from pgsnap.workflows.restore.plan import RestoreOptions
from support.faults.damaging import flip
from support.restoring.clients import (
    commit_database,
    commit_file,
    databases_like,
    restore_now,
    server_of,
)
from support.restoring.drilling import MISCHIEF, checks_of, drill_now, failures, of_status
from support.servers.databases import Database, new_name

RUNBOOK = "Back to the last state:\n\n    snap restore latest --yes\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a runbook and one assertion that holds."""
    (tmp_path / "checks").mkdir()
    (tmp_path / "checks" / "one.sql").write_text("SELECT count(*) >= 0 FROM pg_class;\n")
    (tmp_path / "rollback.md").write_text(RUNBOOK)
    return tmp_path


@contextmanager
def nowhere(cluster: Cluster) -> Iterator[Server]:
    """Yield a server that nobody can reach."""
    endpoint = Endpoint.parse("host=127.0.0.1 port=1 dbname=gone", {})
    yield Server(endpoint, LocalRunner(cluster.binaries.bindir))


def test_a_healthy_snapshot_passes_every_check_and_leaves_nothing_behind(
    repo: Repository, sample_database: Database, folder: Path
) -> None:
    server = server_of(sample_database)
    snapshot = commit_database(repo, server)
    before = sample_database.dump()
    report = drill_now(repo, snapshot, server, folder)
    assert [check.check for check in report.checks] == list(CHECKS)
    assert failures(report) == {}
    assert of_status(report, "passed") == list(CHECKS)
    assert report.passed
    # The sample has definitions that PostgreSQL words differently the first time.
    assert "other words" in checks_of(report)["schema"].reason
    assert report.recovery is not None
    assert report.recovery.rows == repo.snapshot(snapshot).rows
    assert report.recovery.seconds == pytest.approx(sum(report.recovery.phases.values()))
    assert proofs(repo)[snapshot] is Proof.DRILLED
    assert drilled(repo)[snapshot].passed
    assert databases_like(sample_database, "%\\_\\_snap\\_%") == []
    assert sample_database.dump() == before
    assert repo.newest(None) == [snapshot]


@pytest.mark.parametrize("module", ["drill", "fixed_point"])
def test_a_signal_as_the_scratch_database_is_dropped_leaves_none(
    repo: Repository,
    sample_database: Database,
    folder: Path,
    module: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def drop(session: Session, name: str, **more: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        drop_database(session, name, **more)

    server = server_of(sample_database)
    snapshot = commit_database(repo, server)
    monkeypatch.setattr(f"pgsnap.workflows.drill.{module}.drop_database", drop)
    with interrupts.handled(), pytest.raises(Stopped):
        drill_now(repo, snapshot, server, folder)
    assert databases_like(sample_database, "%\\_\\_snap\\_%") == []


def test_a_throw_away_cluster_gets_the_roles_too_and_the_live_server_is_not_needed(
    repo: Repository, database: Database, folder: Path
) -> None:
    role = new_name("owner")
    database.psql(
        f"CREATE ROLE {role}; CREATE TABLE t (id int); INSERT INTO t VALUES (1), (2);"
        f" ALTER TABLE t OWNER TO {role}"
    )
    snapshot = commit_database(repo, server_of(database))
    database.psql(f"DROP TABLE t; DROP ROLE {role}")
    made: list[Cluster] = []

    @contextmanager
    def throw_away(major: int | None) -> Iterator[Server]:
        assert major == database.cluster.major
        with Cluster(database.cluster.binaries, fsync=False) as cluster:
            made.append(cluster)
            yield Server(Endpoint.parse(cluster.dsn(), {}), LocalRunner(cluster.binaries.bindir))

    with nowhere(database.cluster) as live:
        report = drill_now(repo, snapshot, live, folder, throw_away=throw_away)
    assert failures(report) == {}
    assert of_status(report, "skipped") == ["commit"]
    assert report.place == "throw-away"
    assert not made[0].running
    assert database.psql(f"SELECT count(*) FROM pg_roles WHERE rolname = '{role}'") == "0"


def test_a_damaged_chunk_fails_the_snapshot_and_nothing_is_restored(
    repo: Repository, database: Database, folder: Path
) -> None:
    database.psql("CREATE TABLE t AS SELECT g, md5(g::text) FROM generate_series(1, 3000) g")
    server = server_of(database)
    snapshot = commit_database(repo, server)
    assert drill_now(repo, snapshot, server, folder).passed
    pack = max((repo.path / "packs").rglob("*"), key=lambda p: p.stat().st_size * p.is_file())
    flip(pack, pack.stat().st_size // 2)
    report = drill_now(repo, snapshot, server, folder)
    assert list(failures(report)) == ["snapshot"]
    assert any("data public.t" in d for d in checks_of(report)["snapshot"].details)
    assert checks_of(report)["snapshot"].help == "Run: snap repair"
    skipped = of_status(report, "skipped")
    assert skipped == ["restore", *OF_COPY, "assertions"]
    assert proofs(repo)[snapshot] is Proof.NONE
    assert not drilled(repo)[snapshot].passed


def test_a_lost_role_fails_the_restore_and_is_named(
    repo: Repository, database: Database, folder: Path
) -> None:
    role = new_name("lost")
    database.psql(f"CREATE ROLE {role}; CREATE TABLE t (id int); ALTER TABLE t OWNER TO {role}")
    server = server_of(database)
    snapshot = commit_database(repo, server)
    database.psql(f"DROP OWNED BY {role}; DROP ROLE {role}")
    report = drill_now(repo, snapshot, server, folder)
    assert list(failures(report)) == ["restore"]
    assert role in failures(report)["restore"]
    assert not drilled(repo)[snapshot].passed


def test_a_missing_extension_fails_and_is_named(
    repo: Repository, own_cluster: Cluster, folder: Path
) -> None:
    own_cluster.create_database("app")
    database = Database(own_cluster, "app")
    database.psql("CREATE EXTENSION pgsnap_demo")
    server = server_of(database)
    snapshot = commit_database(repo, server)
    control = list((own_cluster.folder / "installation").rglob("pgsnap_demo.control"))
    assert control, "the cluster has an installation of its own"
    control[0].unlink()
    report = drill_now(repo, snapshot, server, folder)
    assert set(failures(report)) == {"restore", "extensions"}
    assert all("pgsnap_demo" in reason for reason in failures(report).values())


@pytest.mark.parametrize(
    ("what", "check", "names"),
    [
        (
            "UPDATE public.account SET amount = 0 WHERE id = 7",
            "contents",
            ["public.account", "rows 1 changed", "changed: id=7 (amount)"],
        ),
        ("UPDATE public.account SET note = ''", "contents", ["rows 50 changed", "id=10 (note)"]),
        (
            "INSERT INTO public.account VALUES (99, 1, NULL) ON CONFLICT DO NOTHING",
            "restore",
            ["public.account has 51 rows instead of 50"],
        ),
        (
            "CREATE OR REPLACE FUNCTION public.intruder() RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "schema",
            ["FUNCTION public.intruder()"],
        ),
        (
            "PERFORM pg_catalog.lo_put(oid, 9, 'x') FROM pg_catalog.pg_largeobject_metadata",
            "large-objects",
            ["bytes restored"],
        ),
    ],
)
def test_what_comes_back_otherwise_fails_the_check_that_names_it(
    repo: Repository, database: Database, folder: Path, what: str, check: str, names: list[str]
) -> None:
    database.psql(MISCHIEF.format(what=what).replace("%%", "%"))
    server = server_of(database)
    snapshot = commit_database(repo, server)
    report = drill_now(repo, snapshot, server, folder)
    assert list(failures(report)) == [check]
    outcome = checks_of(report)[check]
    told = "\n".join((outcome.reason, *outcome.details))
    assert [name for name in names if name not in told] == []
    # A whole table that differs makes no long report.
    assert sum(len(table.rows) for table in report.tables) <= 10
    assert not drilled(repo)[snapshot].passed


def test_a_sequence_that_moved_while_it_was_loaded_stands_where_it_stood(
    repo: Repository, database: Database, folder: Path
) -> None:
    moves = MISCHIEF.format(what="PERFORM pg_catalog.setval('public.counter', 42)")
    database.psql(moves.replace("%%", "%"))
    server = server_of(database)
    report = drill_now(repo, commit_database(repo, server), server, folder)
    assert failures(report) == {}
    assert "(from 41 to 42)" in str(checks_of(report)["restore"].details)


def test_a_function_with_an_unqualified_name_in_an_index_fails_the_restore_and_is_named(
    repo: Repository, database: Database, folder: Path
) -> None:
    database.psql(
        "CREATE FUNCTION inner_one(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1 + 1';"
        "CREATE FUNCTION outer_one(int) RETURNS int IMMUTABLE LANGUAGE plpgsql"
        " AS 'BEGIN RETURN inner_one($1); END';"
        # Since 17 such an index can be made of an empty table only.
        "CREATE TABLE t (id int); CREATE INDEX t_outer ON t (outer_one(id));"
        "INSERT INTO t VALUES (1)"
    )
    server = server_of(database)
    report = drill_now(repo, commit_database(repo, server), server, folder)
    assert list(failures(report)) == ["restore"]
    outcome = checks_of(report)["restore"]
    assert "inner_one" in "\n".join((outcome.reason, *outcome.details))
    assert databases_like(database, "%\\_\\_snap\\_%") == []


def test_an_assertion_that_does_not_hold_fails_and_none_can_write(
    repo: Repository, database: Database, folder: Path
) -> None:
    database.psql("CREATE TABLE t (id int); INSERT INTO t VALUES (1), (2)")
    server = server_of(database)
    snapshot = commit_database(repo, server)
    checks = folder / "checks"
    (checks / "rows.sql").write_text("SELECT id, 'odd' FROM t WHERE id > 1")
    (checks / "false.sql").write_text("SELECT count(*) = 3 FROM t;")
    (checks / "wrong.sql").write_text("SELECT nonsense FROM t;")
    (checks / "writes.sql").write_text("DELETE FROM t;")
    (checks / "none.sql").write_text("SELECT * FROM t WHERE id IS NULL;")
    (checks / "strange.sql").write_text("SELECT true;")
    (checks / "strange.sql").chmod(0o666)
    report = drill_now(repo, snapshot, server, folder)
    assert list(failures(report)) == ["assertions"]
    told = dict(d.split(": ", 1) for d in checks_of(report)["assertions"].details)
    assert told.keys() == {"rows.sql", "false.sql", "wrong.sql", "writes.sql", "strange.sql"}
    assert told["rows.sql"] == "it returned 1 row, the first is (2, odd)"
    assert told["false.sql"] == "it returned false"
    assert "nonsense" in told["wrong.sql"]
    assert "read-only" in told["writes.sql"]
    assert told["strange.sql"].startswith("not run")


def test_a_dry_run_touches_no_database_and_records_nothing(
    repo: Repository, database: Database, folder: Path
) -> None:
    database.psql("CREATE TABLE t AS SELECT 1 AS id")
    snapshot = commit_database(repo, server_of(database))
    with nowhere(database.cluster) as server:
        report = drill_now(repo, snapshot, server, folder, dry_run=True)
        assert failures(report) == {}
        assert of_status(report, "passed") == [
            "tools", "repository", "space", "snapshot", "documentation",
        ]  # fmt: skip
        assert drilled(repo) == {}
        # Without it the same server is a failure, of which the snapshot is not guilty.
        report = drill_now(repo, snapshot, server, folder)
    assert list(failures(report)) == ["postgresql"]
    assert drilled(repo) == {}


def test_the_restore_role_may_drill(repo: Repository, database: Database, folder: Path) -> None:
    owner, role = new_name("owner"), new_name("restorer")
    database.psql(
        f"CREATE ROLE {owner}; CREATE ROLE {role} LOGIN CREATEDB; GRANT {owner} TO {role};"
        f' ALTER DATABASE "{database.name}" OWNER TO {owner}; SET ROLE {owner};'
        f' REVOKE CONNECT ON DATABASE "{database.name}" FROM PUBLIC; CREATE SCHEMA s;'
        " CREATE TABLE s.t (id int, kind varchar(9) CHECK (kind IN ('a', 'b')));"
        " INSERT INTO s.t VALUES (1, 'a')"
    )
    server = server_of(database, user=role)
    try:
        report = drill_now(repo, commit_database(repo, server), server, folder)
        assert failures(report) == {}
        assert of_status(report, "skipped") == []
        assert "other words" in checks_of(report)["schema"].reason
        assert databases_like(database, "%\\_\\_snap\\_%") == []
    finally:
        database.psql(
            f'ALTER DATABASE "{database.name}" OWNER TO postgres; DROP OWNED BY {owner};'
            f" DROP ROLE {owner}; DROP ROLE {role}"
        )


def test_a_role_that_may_not_read_a_table_fails_the_check_of_a_commit(
    repo: Repository, database: Database, folder: Path
) -> None:
    database.psql("CREATE TABLE t AS SELECT 1 AS id")
    snapshot = commit_database(repo, server_of(database))
    role = new_name("weak")
    database.psql(f"CREATE ROLE {role} LOGIN")
    try:
        report = drill_now(repo, snapshot, server_of(database, user=role), folder)
    finally:
        database.psql(f"DROP ROLE {role}")
    assert set(failures(report)) == {"commit", "restore"}


def test_a_snapshot_of_a_part_of_a_database_is_compared_with_that_part(
    repo: Repository, database: Database, folder: Path
) -> None:
    database.psql(
        "CREATE EXTENSION pgsnap_demo; CREATE SCHEMA app; CREATE TABLE public.other (id int);"
        "CREATE TABLE app.t (id int, kind varchar(9) CHECK (kind IN ('a', 'b')));"
        "CREATE TABLE app.big (id serial, note text);"
        "INSERT INTO app.t VALUES (1, 'a'); INSERT INTO app.big (note) VALUES ('x'), ('y')"
    )
    server = server_of(database)
    source = PostgresSource(server, only_schemas=("app",), exclude_table_data=("app.big",))
    snapshot = commit(repo, source, database="app", message="part").snapshot_id
    report = drill_now(repo, snapshot, server, folder)
    assert failures(report) == {}
    assert of_status(report, "skipped") == ["extensions"]
    assert "other words" in checks_of(report)["schema"].reason
    assert report.recovery is not None
    assert report.recovery.rows == 1


def test_the_schema_public_by_itself_comes_back_and_passes(
    repo: Repository, database: Database, folder: Path
) -> None:
    database.psql(
        "CREATE TABLE t (id int, kind varchar(9) CHECK (kind IN ('a', 'b')));"
        " INSERT INTO t VALUES (1, 'a'); CREATE SCHEMA other; CREATE TABLE other.t (a int);"
        " GRANT CREATE ON SCHEMA public TO pg_monitor; COMMENT ON SCHEMA public IS 'ours'"
    )
    server = server_of(database)
    source = PostgresSource(server, only_schemas=("public",))
    snapshot = commit(repo, source, database="app", message="part").snapshot_id
    assert failures(drill_now(repo, snapshot, server, folder)) == {}
    text = folder / "public.sql"
    text.write_bytes(database.dump("--schema=public"))
    report = drill_now(repo, commit_file(repo, text, text.read_text()), server, folder)
    assert failures(report) == {}


def test_a_language_that_was_dropped_and_made_again_comes_back_and_passes(
    repo: Repository, database: Database, folder: Path
) -> None:
    database.psql("DROP EXTENSION plpgsql; CREATE EXTENSION plpgsql; CREATE TABLE t (id int)")
    assert b"EXTENSION IF NOT EXISTS plpgsql" in database.dump()
    snapshot = commit_database(repo, server := server_of(database))
    assert failures(drill_now(repo, snapshot, server, folder)) == {}


def test_a_drill_that_was_killed_leaves_what_the_next_restore_drops(
    repo: Repository, database: Database
) -> None:
    database.psql("CREATE TABLE t (id int); COMMENT ON TABLE t IS 'x'")
    database.psql(f'ALTER DATABASE "{database.name}" CONNECTION LIMIT 0')
    database.psql(f"COMMENT ON DATABASE \"{database.name}\" IS 'the application''s own'")
    server = server_of(database)
    snapshot = commit_database(repo, server)
    name = scratch_name(database.name, new_token())
    report = restore_now(repo, snapshot, server, RestoreOptions(to=name, scratch=True))
    assert report.warnings == ()
    assert databases_like(database, "%\\_\\_snap\\_%") == [name]
    with server.connect(server.maintenance_database()) as session:
        assert drop_leftovers(session, server.connect) == ((name,), ())
