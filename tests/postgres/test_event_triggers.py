"""Event triggers of a snapshot do not run while it is loaded, and rows that anything else changed
on the way are found."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgsnap.errors import RestoreFailed
from pgsnap.repository.repository import Repository
from pgsnap.runners.local import LocalRunner
from pgsnap.sessions.endpoint import Endpoint
from pgsnap.sessions.server import Server
from pgsnap.workflows.restore.plan import RestoreOptions
from support.restoring.clients import (
    commit_database,
    commit_file,
    databases_like,
    restore_now,
    server_of,
)
from support.restoring.drilling import drill_now, failures
from support.servers.databases import Database, new_name

AUDITED = """
CREATE TABLE audit (number serial PRIMARY KEY, tag text);
CREATE TABLE stock (id int PRIMARY KEY, name text);
INSERT INTO stock VALUES (1, 'bolt');
CREATE MATERIALIZED VIEW names AS SELECT name FROM stock;
CREATE UNIQUE INDEX ON names (name);
CREATE FUNCTION note_ddl() RETURNS event_trigger LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO public.audit (tag) VALUES (tg_tag); END $$;
CREATE EVENT TRIGGER z_note ON ddl_command_end EXECUTE FUNCTION note_ddl();
COMMENT ON EVENT TRIGGER z_note IS 'who changes what';
CREATE TABLE noted (a int);
"""
FROZEN = """
CREATE TABLE stock AS SELECT 1 AS id;
CREATE MATERIALIZED VIEW total AS SELECT count(*) FROM stock;
CREATE FUNCTION freeze() RETURNS event_trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'frozen: %', tg_tag; END $$;
CREATE EVENT TRIGGER a_freeze ON ddl_command_start EXECUTE FUNCTION freeze();
"""
# An application's own log, written by whatever fills the view.
LOGGED_BY_A_VIEW = """
CREATE TABLE log (line text);
CREATE FUNCTION noted(int) RETURNS int LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO public.log VALUES ('read'); RETURN $1; END $$;
CREATE MATERIALIZED VIEW seen AS SELECT public.noted(7) AS seven;
"""
KINDS = {
    "one that writes": AUDITED,
    "one that fires always": f"{AUDITED} ALTER EVENT TRIGGER z_note ENABLE ALWAYS;",
    "one of replicas": f"{AUDITED} ALTER EVENT TRIGGER z_note ENABLE REPLICA;",
    "one that is disabled": f"{AUDITED} ALTER EVENT TRIGGER z_note DISABLE;",
    "one that forbids everything": FROZEN,
    "one that forbids everything, always": f"{FROZEN} ALTER EVENT TRIGGER a_freeze ENABLE ALWAYS;",
}


def by_psql(database: Database) -> Server:
    """Return *database* as it is seen where SQL goes through psql, as in containers."""
    runner = LocalRunner(database.cluster.binaries.bindir)
    return Server(Endpoint.parse(database.dsn, {}), runner, client="psql")


@pytest.mark.parametrize("kind", KINDS)
def test_a_database_with_event_triggers_comes_back_and_passes_a_drill(
    repo: Repository, database: Database, tmp_path: Path, kind: str
) -> None:
    database.psql(KINDS[kind])
    before = database.dump()
    server = server_of(database)
    snapshot = commit_database(repo, server)
    assert failures(drill_now(repo, snapshot, server, tmp_path)) == {}
    report = restore_now(repo, snapshot, server)
    assert report.warnings == ()
    assert database.dump() == before


def test_they_do_not_run_where_sql_goes_through_psql(repo: Repository, database: Database) -> None:
    database.psql(AUDITED)
    before = database.dump()
    snapshot = commit_database(repo, by_psql(database))
    assert restore_now(repo, snapshot, by_psql(database)).warnings == ()
    assert database.dump() == before


def test_a_copy_without_owners_and_rights_has_them_too(
    repo: Repository, database: Database
) -> None:
    database.psql(f"{AUDITED} GRANT SELECT ON stock TO PUBLIC;")
    server = server_of(database)
    snapshot = commit_database(repo, server)
    copy = Database(database.cluster, new_name("copy"))
    restore_now(repo, snapshot, server, RestoreOptions(to=copy.name, no_owner=True, no_acl=True))
    try:
        assert copy.psql("SELECT evtname, evtenabled FROM pg_event_trigger") == "z_note|O"
        # The table and the grant, which the triggers of the source database saw.
        assert copy.psql("SELECT count(*), max(number) FROM audit") == "2|2"
        assert copy.psql("SELECT last_value FROM audit_number_seq") == "2"
    finally:
        database.cluster.drop_database(copy.name)


def test_those_of_a_file_that_changes_its_role_belong_to_their_owner(
    repo: Repository, database: Database, tmp_path: Path
) -> None:
    owner, other = new_name("owner"), new_name("other")
    database.psql(f"CREATE ROLE {owner} SUPERUSER; CREATE ROLE {other} SUPERUSER")
    try:
        database.psql(
            f"SET ROLE {owner}; {AUDITED} ALTER MATERIALIZED VIEW names OWNER TO {other};"
        )
        text = database.dump("--use-set-session-authorization").decode()
        snapshot = commit_file(repo, tmp_path / "dump.sql", text)
        restore_now(repo, snapshot, server_of(database))
        made = "SELECT evtowner::regrole FROM pg_event_trigger"
        assert database.psql(made) == owner
        assert database.psql("SELECT relowner::regrole FROM pg_class WHERE relname = 'names'") == (
            other
        )
        # The ALTER MATERIALIZED VIEW was noted, the load was not.
        assert database.psql("SELECT count(*) FROM audit") == "2"
    finally:
        for name in (database.name, *databases_like(database, f"{database.name}\\_\\_snap\\_%")):
            Database(database.cluster, name).psql(f"REASSIGN OWNED BY {owner}, {other} TO postgres")
        database.psql(f"DROP ROLE {owner}; DROP ROLE {other}")


def test_rows_that_a_view_writes_as_it_is_filled_fail_the_restore_by_the_name_of_their_table(
    repo: Repository, database: Database
) -> None:
    database.psql(LOGGED_BY_A_VIEW)
    server = server_of(database)
    snapshot = commit_database(repo, server)
    before = database.dump()
    with pytest.raises(RestoreFailed, match=r"public\.log has 2 rows instead of 1") as caught:
        restore_now(repo, snapshot, server)
    assert "materialized view" in caught.value.detail
    assert database.dump() == before
    assert databases_like(database, f"{database.name}%") == [database.name]


def test_a_sequence_that_a_view_moves_as_it_is_filled_is_set_back_and_told(
    repo: Repository, database: Database
) -> None:
    database.psql(
        'CREATE SEQUENCE "Ser.ies"; CREATE SEQUENCE untouched;'
        "CREATE MATERIALIZED VIEW drawn AS SELECT nextval('\"Ser.ies\"') AS number"
    )
    server = server_of(database)
    snapshot = commit_database(repo, server)
    (warning,) = restore_now(repo, snapshot, server).warnings
    assert warning.endswith('set back: public."Ser.ies" (from 1 to 2)')
    assert database.psql('SELECT last_value, is_called FROM "Ser.ies"') == "1|t"
    assert database.psql("SELECT last_value, is_called FROM untouched") == "1|f"


def test_partitions_whose_rows_went_in_through_their_root_are_counted_together(
    repo: Repository, database: Database
) -> None:
    database.psql(
        "CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');"
        "CREATE TABLE moods (m mood, n int) PARTITION BY RANGE (n);"
        "CREATE TABLE low PARTITION OF moods FOR VALUES FROM (0) TO (10);"
        "CREATE TABLE high PARTITION OF moods FOR VALUES FROM (10) TO (99) PARTITION BY HASH (m);"
        "CREATE TABLE high_0 PARTITION OF high FOR VALUES WITH (MODULUS 2, REMAINDER 0);"
        "CREATE TABLE high_1 PARTITION OF high FOR VALUES WITH (MODULUS 2, REMAINDER 1);"
        "INSERT INTO moods SELECT (ARRAY['sad', 'ok', 'happy']::mood[])[1 + g % 3], g"
        " FROM generate_series(1, 90) g;"
        "CREATE FUNCTION loses() RETURNS int LANGUAGE plpgsql AS $$ BEGIN"
        " IF current_database() LIKE '%\\_\\_snap\\_%' THEN DELETE FROM public.high_1; END IF;"
        " RETURN 1; END $$;"
    )
    server = server_of(database)
    assert restore_now(repo, commit_database(repo, server), server).rows == 90
    database.psql("CREATE MATERIALIZED VIEW lost AS SELECT public.loses()")
    snapshot = commit_database(repo, server)
    with pytest.raises(RestoreFailed, match="instead of 90"):
        restore_now(repo, snapshot, server, RestoreOptions(discard_old=True))


def test_what_its_owner_may_not_read_or_set_is_told(repo: Repository, database: Database) -> None:
    role = new_name("restorer")
    database.psql(
        f"CREATE ROLE {role} LOGIN CREATEDB; ALTER SCHEMA public OWNER TO {role};"
        f' ALTER DATABASE "{database.name}" OWNER TO {role}; SET ROLE {role};'
        f" CREATE TABLE hidden (a int); CREATE TABLE own (a serial);"
        f" INSERT INTO hidden VALUES (1); REVOKE SELECT ON hidden FROM {role};"
        f" CREATE SEQUENCE drawn; REVOKE UPDATE ON SEQUENCE drawn FROM {role};"
        " CREATE MATERIALIZED VIEW draws AS SELECT nextval('drawn') AS number"
    )
    try:
        snapshot = commit_database(repo, server_of(database))
        server = server_of(database, user=role)
        warnings = restore_now(repo, snapshot, server).warnings
        assert any("not counted once more" in text for text in warnings)
        assert any("public.hidden" in text and "own" not in text for text in warnings)
        assert any(text.endswith("right to: public.drawn (from 1 to 2)") for text in warnings)
    finally:
        for name in databases_like(database, f"{database.name}%"):
            Database(database.cluster, name).psql(f"DROP OWNED BY {role}")
            database.psql(f'ALTER DATABASE "{name}" OWNER TO postgres')
        database.psql(f"DROP OWNED BY {role}; DROP ROLE {role}")
