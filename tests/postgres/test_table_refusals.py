"""What the live database does not take is known before a table is restored, with its reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgsnap.errors import RestoreFailed, TargetRefused
from pgsnap.repository.repository import Repository
from pgsnap.sessions.server import Server
from support.restoring.clients import (
    commit_database,
    commit_file,
    plan_of_tables,
    server_of,
    tables_now,
)
from support.servers.databases import Database


def refused(repo: Repository, database: Database, snapshot: bytes, *names: str) -> TargetRefused:
    """Plan with and without --replace; both must refuse in the same way, and change nothing."""
    before = database.dump()
    found = []
    for replace in (False, True):
        plan = plan_of_tables(repo, snapshot, server_of(database), *names, replace=replace)
        with pytest.raises(TargetRefused) as caught:
            plan.check()
        found.append(caught.value)
    assert database.dump() == before
    return found[0]


@pytest.mark.parametrize("replace", [False, True])
def test_a_database_without_its_language_gets_a_table_all_the_same(
    repo: Repository, database: Database, replace: bool
) -> None:
    database.psql(
        "CREATE TABLE t (a serial PRIMARY KEY, b int); INSERT INTO t VALUES (1, 2);"
        " CREATE VIEW v AS SELECT a FROM t; DROP EXTENSION plpgsql"
    )
    before = database.dump()
    snapshot = commit_database(repo, server_of(database))
    database.psql("DELETE FROM t")
    plan = plan_of_tables(repo, snapshot, server_of(database), "t", replace=replace)
    assert any("PL/pgSQL" in told for told in plan.warnings)
    report = tables_now(repo, snapshot, server_of(database), "t", replace=replace)
    kept = report.tables[0].kept
    made = "t" if replace else "t__was"
    assert database.psql(f"SELECT * FROM {made}") == "1|2"
    assert database.psql("SELECT count(*) FROM pg_language WHERE lanname = 'plpgsql'") == "0"
    database.psql(
        f"DROP TABLE {kept[1]}" if kept else "DROP TABLE t__was; INSERT INTO t VALUES (1, 2)"
    )
    assert database.dump() == before


def test_a_role_that_may_not_use_the_language_is_told_who_lets_it(
    repo: Repository, database: Database
) -> None:
    role = f"app_{database.name}"
    database.psql(
        f"CREATE ROLE {role} LOGIN; GRANT CREATE ON SCHEMA public TO {role};"
        " REVOKE USAGE ON LANGUAGE plpgsql FROM PUBLIC"
    )
    database.cluster.psql(f'ALTER DATABASE "{database.name}" OWNER TO {role}')
    database.psql("CREATE TABLE t (a int)", user=role)
    snapshot = commit_database(repo, server_of(database))
    plan = plan_of_tables(repo, snapshot, server_of(database, user=role), "t")
    with pytest.raises(TargetRefused, match="may not use PL/pgSQL") as caught:
        plan.check()
    assert f'GRANT USAGE ON LANGUAGE plpgsql TO "{role}"' in caught.value.hint


@pytest.mark.parametrize(
    ("whose", "back"),
    [
        ("DATABASE {database}", 'ALTER DATABASE "{database}" RESET'),
        ("ROLE {role}", 'ALTER ROLE "{role}" RESET'),
        ("ROLE {role} IN DATABASE {database}", 'ALTER ROLE "{role}" IN DATABASE "{database}" RES'),
    ],
)
def test_a_database_that_can_only_be_read_is_refused_with_what_lets_it_be_written(
    repo: Repository, database: Database, whose: str, back: str
) -> None:
    role = f"app_{database.name}"
    database.psql(f"CREATE ROLE {role} LOGIN SUPERUSER; CREATE TABLE t (a int)")
    snapshot = commit_database(repo, server_of(database))
    names = {"database": database.name, "role": role}
    setting = "default_transaction_read_only"
    database.cluster.psql(f"ALTER {whose.format(**names)} SET {setting} = on")
    plan = plan_of_tables(repo, snapshot, server_of(database, user=role), "t", replace=True)
    with pytest.raises(TargetRefused, match="can only read") as caught:
        plan.check()
    assert back.format(**names) in caught.value.hint
    database.cluster.psql(f"ALTER {whose.format(**names)} RESET {setting}")
    assert tables_now(repo, snapshot, server_of(database, user=role), "t").rows == 0


def test_an_event_trigger_that_freezes_definitions_is_named_and_its_switch(
    repo: Repository, database: Database
) -> None:
    database.psql(
        "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1);"
        " CREATE FUNCTION stop_ddl() RETURNS event_trigger LANGUAGE plpgsql AS"
        " $$BEGIN RAISE EXCEPTION 'frozen since May (%)', tg_tag; END$$;"
        ' CREATE EVENT TRIGGER "The Freeze" ON ddl_command_start EXECUTE FUNCTION stop_ddl()'
    )
    snapshot = commit_database(repo, server_of(database))
    error = refused(repo, database, snapshot, "t")
    assert "frozen since May (CREATE SCHEMA)" in error.message
    assert 'ALTER EVENT TRIGGER "The Freeze" DISABLE;' in error.hint
    database.psql('ALTER EVENT TRIGGER "The Freeze" DISABLE')
    assert tables_now(repo, snapshot, server_of(database), "t").rows == 1


def test_a_role_that_may_not_turn_event_triggers_off_is_told_of_them_and_of_rights(
    repo: Repository, database: Database
) -> None:
    role, other = f"app_{database.name}", f"other_{database.name}"
    database.psql(
        f"CREATE ROLE {role} LOGIN; CREATE ROLE {other};"
        f" GRANT CREATE ON SCHEMA public TO {role}, {other}; CREATE TABLE theirs (a int);"
        f" ALTER TABLE theirs OWNER TO {other}"
    )
    database.cluster.psql(f'ALTER DATABASE "{database.name}" OWNER TO {role}')
    database.psql("CREATE TABLE t (a int)", user=role)
    snapshot = commit_database(repo, server_of(database))
    server = server_of(database, user=role)
    with pytest.raises(TargetRefused, match=r"must be .*member of role|must be able to SET") as no:
        tables_now(repo, snapshot, server, "theirs")
    assert no.value.hint.startswith("Connect as a superuser")
    database.psql(
        "CREATE FUNCTION stop_ddl() RETURNS event_trigger LANGUAGE plpgsql AS"
        " $$BEGIN RAISE EXCEPTION 'frozen'; END$$;"
        " CREATE EVENT TRIGGER halt ON ddl_command_start EXECUTE FUNCTION stop_ddl()"
    )
    with pytest.raises(TargetRefused, match="cannot be made in this database: frozen") as caught:
        tables_now(repo, snapshot, server, "t")
    assert "One of its event triggers may say so: halt." in caught.value.detail


@pytest.mark.parametrize("tag", ["CREATE TABLE", "ALTER INDEX", "CREATE VIEW", "DROP SCHEMA"])
def test_an_event_trigger_that_forbids_one_kind_of_change_is_met_in_the_plan(
    repo: Repository, database: Database, tag: str
) -> None:
    database.psql(
        "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1);"
        " CREATE VIEW v AS SELECT id FROM t"
    )
    snapshot = commit_database(repo, server_of(database))
    database.psql(
        "CREATE FUNCTION no() RETURNS event_trigger LANGUAGE plpgsql AS"
        " $$BEGIN RAISE EXCEPTION 'not that'; END$$;"
        f" CREATE EVENT TRIGGER no ON ddl_command_end WHEN TAG IN ('{tag}') EXECUTE FUNCTION no()"
    )
    before = database.dump()
    plan = plan_of_tables(repo, snapshot, server_of(database), "t", replace=True)
    with pytest.raises(TargetRefused, match="an event trigger of the database forbids it"):
        plan.check()
    assert database.dump() == before


def test_event_triggers_that_will_run_are_named_by_the_plan(
    repo: Repository, database: Database
) -> None:
    database.psql(
        "CREATE TABLE t (id int); CREATE TABLE seen (tag text);"
        " CREATE FUNCTION notes() RETURNS event_trigger LANGUAGE plpgsql AS"
        " $$BEGIN INSERT INTO public.seen VALUES (tg_tag); END$$;"
        " CREATE EVENT TRIGGER notes ON ddl_command_end EXECUTE FUNCTION notes();"
        " CREATE EVENT TRIGGER off ON ddl_command_end EXECUTE FUNCTION notes();"
        " ALTER EVENT TRIGGER off DISABLE"
    )
    snapshot = commit_database(repo, server_of(database))
    before = database.dump()
    plan = plan_of_tables(repo, snapshot, server_of(database), "t")
    assert [told for told in plan.warnings if told.endswith("tables are made: notes")]
    assert plan.refusals == ()
    assert database.dump() == before


def test_an_event_trigger_that_writes_to_the_table_is_named_before_it_is_replaced(
    repo: Repository, database: Database
) -> None:
    database.psql(
        "CREATE TABLE ddl_log (n serial PRIMARY KEY, tag text); CREATE TABLE ddl (a int);"
        " CREATE FUNCTION notes() RETURNS event_trigger LANGUAGE plpgsql AS"
        " $$BEGIN INSERT INTO public.ddl_log (tag) VALUES (tg_tag); END$$;"
        " CREATE EVENT TRIGGER notes ON ddl_command_end EXECUTE FUNCTION notes()"
    )
    snapshot = commit_database(repo, server_of(database))
    plan = plan_of_tables(repo, snapshot, server_of(database), "ddl_log", replace=True)
    with pytest.raises(TargetRefused, match=r"notes\(\) names public.ddl_log") as caught:
        plan.check()
    assert 'ALTER EVENT TRIGGER "notes" DISABLE;' in caught.value.hint
    tables_now(repo, snapshot, server_of(database), "ddl", replace=True)
    database.psql('ALTER EVENT TRIGGER "notes" DISABLE')
    tables_now(repo, snapshot, server_of(database), "ddl_log", replace=True)
    assert database.psql("SELECT count(*) FROM ddl_log") == "0"


def test_a_check_or_default_that_takes_rows_of_the_table_itself_is_explained(
    repo: Repository, database: Database
) -> None:
    database.psql(
        "CREATE TABLE checked (id int, w int);"
        " CREATE FUNCTION holds(checked) RETURNS bool LANGUAGE sql IMMUTABLE AS"
        " 'SELECT ($1).id > 0';"
        " ALTER TABLE checked ADD CONSTRAINT c_row CHECK (holds(checked.*));"
        " CREATE TABLE filled (id int, w int);"
        " CREATE FUNCTION first(filled) RETURNS int LANGUAGE sql AS 'SELECT 1';"
        " ALTER TABLE filled ALTER w SET DEFAULT first(NULL::filled)"
    )
    snapshot = commit_database(repo, server_of(database))
    for name, function in (("checked", "holds"), ("filled", "first")):
        plan = plan_of_tables(repo, snapshot, server_of(database), name)
        with pytest.raises(TargetRefused, match=rf"public\.{function}\(public.{name}\)") as caught:
            plan.check()
        assert "takes the table's own row type" in caught.value.detail
        assert f"--to NEW --table public.{name}" in caught.value.hint


def test_what_the_database_has_not_got_any_more_is_told_by_the_plan(
    repo: Repository, database: Database
) -> None:
    database.psql(
        "CREATE TYPE mood AS ENUM ('ok'); CREATE TABLE typed (m mood);"
        " CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
        " CREATE TABLE watched (a int);"
        " CREATE TRIGGER w BEFORE INSERT ON watched FOR EACH ROW EXECUTE FUNCTION f()"
    )
    snapshot = commit_database(repo, server_of(database))
    database.psql("DROP TABLE typed, watched; DROP TYPE mood; DROP FUNCTION f()")
    assert 'type "public.mood" does not exist' in refused(repo, database, snapshot, "typed").message
    error = refused(repo, database, snapshot, "watched")
    assert "function public.f() does not exist" in error.message
    assert "row type" not in error.detail
    assert "--create-roles" not in error.hint


DRAWS = """
CREATE FUNCTION tag() RETURNS text LANGUAGE sql IMMUTABLE AS $${body}$$;
CREATE TABLE ticket (note text, no text GENERATED ALWAYS AS (tag()) STORED NOT NULL);
INSERT INTO ticket (note) VALUES ('a'), ('b');
"""


def test_a_generated_column_that_draws_from_a_sequence_is_refused(
    repo: Repository, database: Database
) -> None:
    database.psql(
        "CREATE SEQUENCE numbers;"
        + DRAWS.format(body="SELECT 'N' || nextval('public.numbers'::regclass)")
    )
    snapshot = commit_database(repo, server_of(database))
    error = refused(repo, database, snapshot, "ticket")
    assert "generated column no of public.ticket draws from a sequence" in error.message


def test_a_generated_column_that_draws_where_nobody_sees_it_fails_the_restore(
    repo: Repository, database: Database
) -> None:
    database.psql(
        "CREATE SEQUENCE numbers; CREATE FUNCTION inner_tag() RETURNS text LANGUAGE sql AS"
        " $$SELECT 'N' || nextval('public.numbers'::regclass)$$;"
        + DRAWS.format(body="SELECT public.inner_tag()")
    )
    snapshot = commit_database(repo, server_of(database))
    before = database.psql("SELECT * FROM ticket")
    with pytest.raises(RestoreFailed, match="draws from a sequence"):
        tables_now(repo, snapshot, server_of(database), "ticket", replace=True)
    assert database.psql("SELECT * FROM ticket") == before


def test_a_plan_made_through_psql_says_the_same(repo: Repository, database: Database) -> None:
    database.psql(
        "CREATE TABLE t (id serial PRIMARY KEY, \"a\\b'c\" text DEFAULT E'\\\\ \\n''');"
        " CREATE TABLE checked (id int); CREATE FUNCTION holds(checked) RETURNS bool LANGUAGE sql"
        " IMMUTABLE AS 'SELECT true'; ALTER TABLE checked ADD CHECK (holds(checked.*));"
        " COMMENT ON TABLE t IS E'\\\\! false\n\\\\q'"
    )
    ours = server_of(database)
    snapshot = commit_database(repo, ours)
    theirs = Server(ours.endpoint, ours.runner, client="psql")
    for name in ("t", "checked"):
        # But for the random words in which both were tried.
        one, other = (
            plan_of_tables(repo, snapshot, server, name, replace=True) for server in (ours, theirs)
        )
        assert one.refusals == other.refusals
        assert bool(one.refusals) is (name == "checked")
        assert one.rights == other.rights
    assert tables_now(repo, snapshot, theirs, "t", replace=True).rows == 0


@pytest.mark.parametrize("place", ["ALTER TABLE public.t OWNER", "ALTER TYPE public.k OWNER"])
def test_a_plan_runs_nothing_that_could_stay(
    repo: Repository, database: Database, tmp_path: Path, place: str
) -> None:
    database.psql("CREATE TYPE k AS ENUM (); CREATE TABLE t (a k); CREATE TABLE dear (a int)")
    text = database.dump().decode()
    forged = text.replace(place, f"COMMIT; DROP TABLE public.dear; {place}")
    assert forged != text
    snapshot = commit_file(repo, tmp_path / "forged.sql", forged)
    error = refused(repo, database, snapshot, "t")
    assert "what pg_dump does not write there: COMMIT" in error.message
