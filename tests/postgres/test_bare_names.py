"""Functions that find what they name by the search path: known before the restore that fails."""

from __future__ import annotations

import threading

import psycopg
import pytest

from pgsnap.errors import DumpFailed, RestoreFailed
from pgsnap.model import Verdict
from pgsnap.repository.repository import Repository
from pgsnap.sources.postgres import PostgresSource
from pgsnap.workflows.commit.commit import commit
from pgsnap.workflows.watch.doctor import look_at_server
from support.restoring.clients import LABEL, restore_now, server_of
from support.servers.databases import Database
from support.servers.extensions import add_extension

START = """
CREATE TABLE word (id int PRIMARY KEY, text text);
INSERT INTO word VALUES (1, 'a');
CREATE FUNCTION inner_one(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT lower($1)';
CREATE FUNCTION outer_one(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT inner_one($1)';
"""
USES = {
    "an index": "CREATE INDEX seen ON word (outer_one(text))",
    "the condition of an index": "CREATE INDEX seen ON word (id) WHERE outer_one(text) = 'a'",
    "a check": "ALTER TABLE word ADD CONSTRAINT seen CHECK (outer_one(text) <> 'z')",
    "a generated column": (
        "ALTER TABLE word ADD COLUMN seen text GENERATED ALWAYS AS (outer_one(text)) STORED"
    ),
    "a materialized view": "CREATE MATERIALIZED VIEW seen AS SELECT outer_one(text) FROM word",
    "a domain": (
        "CREATE DOMAIN seen AS text CHECK (outer_one(VALUE) <> 'z');"
        "ALTER TABLE word ADD COLUMN more seen; UPDATE word SET more = 'b'"
    ),
}
REFUSED = ("an index", "the condition of an index", "a materialized view")
SAFE = {
    "its own path": "ALTER FUNCTION outer_one(text) SET search_path = public;" + USES["an index"],
    "the schema in the body": (
        "CREATE OR REPLACE FUNCTION outer_one(text) RETURNS text LANGUAGE sql IMMUTABLE"
        " AS 'SELECT public.inner_one($1)';" + USES["an index"]
    ),
    "a parsed body": (
        "CREATE FUNCTION parsed(text) RETURNS text LANGUAGE sql IMMUTABLE"
        " RETURN inner_one($1); CREATE INDEX seen ON word (parsed(text))"
    ),
    "a view, which a restore does not run": "CREATE VIEW seen AS SELECT outer_one(text) FROM word",
    "a default, which a restore does not run": (
        "ALTER TABLE word ALTER COLUMN text SET DEFAULT outer_one('B')"
    ),
}


@pytest.mark.parametrize("use", USES)
def test_a_commit_and_the_doctor_tell_what_no_restore_can_make(
    repo: Repository, database: Database, use: str
) -> None:
    if use in REFUSED and database.cluster.major >= 17:
        pytest.skip("PostgreSQL itself refuses it since 17: run pytest with --pg-major=16")
    database.psql(START + USES[use])
    source = PostgresSource(server_of(database))
    made = commit(repo, source, database=LABEL, message=use)
    (doubt,) = source.doubts
    assert "public.outer_one(text)" in doubt
    assert "function inner_one(text) does not exist" in doubt
    assert "ALTER FUNCTION public.outer_one(text) SET search_path" in doubt
    steps = [step for step in look_at_server(server_of(database)) if step.check == "restorable"]
    assert [step.verdict for step in steps] == [Verdict.FAILED]
    # It is true.
    with pytest.raises(RestoreFailed):
        restore_now(repo, made.snapshot_id, server_of(database))


@pytest.mark.parametrize("use", SAFE)
def test_what_a_restore_can_make_is_in_no_doubt(
    repo: Repository, database: Database, use: str
) -> None:
    database.psql(START + SAFE[use])
    source = PostgresSource(server_of(database))
    made = commit(repo, source, database=LABEL, message=use)
    assert source.doubts == ()
    restore_now(repo, made.snapshot_id, server_of(database))


def test_a_table_that_somebody_holds_is_not_waited_for(
    repo: Repository, database: Database
) -> None:
    database.psql(
        "CREATE TABLE word (text text); CREATE TABLE held (text text);"
        "CREATE FUNCTION reads(text) RETURNS text LANGUAGE sql IMMUTABLE"
        " AS 'SELECT max(text) FROM public.held'; CREATE INDEX ON word (reads(text))"
    )
    source = PostgresSource(server_of(database), lock_wait_timeout_seconds=0.1)
    done: list[object] = []

    def run() -> None:
        try:
            done.append(commit(repo, source, database=LABEL, message="x"))
        except DumpFailed as error:
            done.append(error)

    with psycopg.connect(database.dsn) as other:
        other.execute("LOCK TABLE held IN ACCESS EXCLUSIVE MODE")
        committing = threading.Thread(target=run, daemon=True)
        committing.start()
        committing.join(60)
        still_waits = committing.is_alive()
    committing.join()
    assert not still_waits
    # Why it failed is for pg_dump to say; of the function nothing is known.
    (error,) = done
    assert isinstance(error, DumpFailed)
    assert "held" in error.detail
    assert source.doubts == ()


def test_of_an_extension_s_function_the_way_out_is_one_of_your_own(
    repo: Repository, database: Database
) -> None:
    if database.cluster.major >= 17:
        pytest.skip("PostgreSQL itself refuses it since 17: run pytest with --pg-major=16")
    name = add_extension(
        database.cluster,
        "CREATE FUNCTION ext_inner(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT $1';"
        "CREATE FUNCTION ext_outer(text) RETURNS text LANGUAGE sql IMMUTABLE"
        " AS 'SELECT ext_inner($1)';",
    )
    database.psql(
        f"CREATE EXTENSION \"{name}\"; CREATE TABLE t AS SELECT 'a'::text AS v;"
        "CREATE INDEX i ON t (ext_outer(v))"
    )
    source = PostgresSource(server_of(database))
    made = commit(repo, source, database=LABEL, message="bare")
    (doubt,) = source.doubts
    assert f"the extension {name}: let a function of your own call it" in doubt
    with pytest.raises(RestoreFailed) as caught:
        restore_now(repo, made.snapshot_id, server_of(database))
    assert "a function of your own" in caught.value.hint
    database.psql(
        "DROP INDEX i; CREATE FUNCTION own(text) RETURNS text LANGUAGE sql IMMUTABLE"
        " SET search_path = public AS 'SELECT ext_outer($1)'; CREATE INDEX i ON t (own(v))"
    )
    source = PostgresSource(server_of(database))
    mended = commit(repo, source, database=LABEL, message="own")
    assert source.doubts == ()
    restore_now(repo, mended.snapshot_id, server_of(database))
