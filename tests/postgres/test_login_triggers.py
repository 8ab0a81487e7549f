"""Event triggers on login (PostgreSQL 17 and later): of a restored database none is run by us."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgsnap.cluster.binaries import Binaries
from pgsnap.model import Verdict
from pgsnap.repository.repository import Repository
from pgsnap.workflows.undo.undo import plan_undo, undo
from support.restoring.clients import LABEL, commit_database, restore_now, server_of
from support.restoring.drilling import checks_of, drill_now, failures
from support.running.commandline import CommandLine
from support.servers.databases import Database, new_name

LOGINS = """
CREATE TABLE logins (number serial, at timestamptz DEFAULT now());
CREATE FUNCTION note_login() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO public.logins DEFAULT VALUES;
END $$;
CREATE EVENT TRIGGER note_login ON login EXECUTE FUNCTION note_login();
CREATE TABLE t (status varchar(9) CHECK (status IN ('a', 'b')));
INSERT INTO t VALUES ('a');
"""
REFUSE = """
CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'nobody logs in here';
END $$;
CREATE EVENT TRIGGER refuse ON login EXECUTE FUNCTION refuse();
"""


@pytest.fixture(autouse=True)
def since_17(binaries: Binaries) -> None:
    if binaries.major < 17:
        pytest.skip("PostgreSQL 17 brought triggers on login: run pytest with --pg-major 17")


def quietly(database: Database, sql: str) -> str:
    """Ask in a session that the triggers do not see."""
    import psycopg

    with psycopg.connect(database.dsn, options="-c event_triggers=off") as session:
        found = session.execute(sql.encode())
        row = found.fetchone() if found.description else None
    return str(row[0]) if row else ""


def test_neither_restore_nor_drill_logs_in_where_a_trigger_counts_it(
    repo: Repository, database: Database, tmp_path: Path
) -> None:
    database.psql(LOGINS)
    server = server_of(database)
    snapshot = commit_database(repo, server)
    rows = repo.snapshot(snapshot).rows
    report = restore_now(repo, snapshot, server)
    assert report.rows == rows
    assert quietly(database, "SELECT count(*) FROM logins") == str(rows - 1)
    drilled = drill_now(repo, snapshot, server, tmp_path)
    assert failures(drilled) == {}
    assert checks_of(drilled)["contents"].verdict is Verdict.PASSED


def test_a_database_that_lets_nobody_in_is_replaced_and_put_back(
    repo: Repository, database: Database, tmp_path: Path
) -> None:
    database.psql("CREATE TABLE t (a int); INSERT INTO t VALUES (1)")
    server = server_of(database)
    snapshot = commit_database(repo, server)
    database.psql(REFUSE)
    restore_now(repo, snapshot, server)
    assert database.psql("SELECT a FROM t") == "1"
    undo(repo, plan_undo(repo, server, LABEL), server)
    assert quietly(database, "SELECT count(*) FROM pg_event_trigger") == "1"
    # As a superuser may do to log in nevertheless.
    locked = commit_database(repo, server.without_event_triggers())
    assert failures(drill_now(repo, locked, server.without_event_triggers(), tmp_path)) == {}


def test_neither_commit_nor_diff_nor_doctor_nor_the_safety_snapshot_is_seen_by_a_trigger(
    snap: CommandLine, database: Database
) -> None:
    database.psql(LOGINS)
    snap.setenv("DATABASE_URL", database.dsn)
    snap.use_tools_of(database.cluster)
    snap.ok("init")
    before = quietly(database, "SELECT count(*) FROM logins")
    snap.ok("commit", "-m", "one", "--tag", "one")
    assert snap("diff", "one", "--exit-code").code == 0
    snap("doctor")
    assert quietly(database, "SELECT count(*) FROM logins") == before
    safety = snap.ok("restore", "one", "--yes", "--json").json["safety_snapshot"]
    snap.ok("undo", "--yes")
    assert snap("diff", "one", safety, "--exit-code").code == 0
    assert quietly(database, "SELECT count(*) FROM logins") == before


def test_the_role_that_cannot_turn_triggers_off_is_told_what_keeps_it_out(
    snap: CommandLine, database: Database
) -> None:
    role = new_name("owner")
    database.psql(
        f"CREATE ROLE {role} LOGIN CREATEDB; ALTER DATABASE {database.name} OWNER TO {role};"
        "CREATE TABLE t (a int); INSERT INTO t VALUES (1);"
        f"ALTER TABLE t OWNER TO {role}"
    )
    snap.setenv("DATABASE_URL", database.cluster.dsn(database.name, user=role))
    snap.use_tools_of(database.cluster)
    snap.ok("init")
    snap.ok("commit", "-m", "one", "--tag", "one")
    snap.ok("restore", "one", "--yes")
    database.psql(REFUSE)
    for command in (
        ("commit", "-m", "two"),
        ("undo", "--yes"),
        ("restore", "one", "--yes", "--discard-old"),
    ):
        result = snap(*command)
        assert result.code in (30, 40), command
        assert "an event trigger on login" in result.err, command
        assert "nobody logs in here" in result.err, command
        assert "idle connections" not in result.err, command
    grant = f'GRANT SET ON PARAMETER event_triggers TO "{role}";'
    assert grant in result.err
    quietly(database, grant)
    snap.ok("commit", "-m", "two")
    quietly(database, f'REVOKE SET ON PARAMETER event_triggers FROM "{role}"')
    snap.ok("undo", "--yes", "--no-safety-snapshot")
    assert database.psql("SELECT a FROM t") == "1"
