"""Dumps that others made: by other options, other versions, by hand, and with bad intent."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pgsnap.errors import RestoreError, SnapError, TargetRefused, UnusableInput
from pgsnap.repository.chunks.stream import snapshot_stream
from pgsnap.repository.repository import Repository
from pgsnap.workflows.restore.plan import RestoreOptions
from support.dumps.old_dump import NINE
from support.restoring.clients import (
    commit_database,
    commit_file,
    databases_like,
    restore_now,
    server_of,
)
from support.servers.databases import Database

# What is restored has other tables than the live database, on purpose.
TRUST = RestoreOptions(trust_sql=True, discard_old=True, partial=True)
ROLES = "SELECT json_agg(to_json(a) ORDER BY a.oid) FROM pg_authid a WHERE rolname !~ '^snap_load_'"
CLUSTER = (
    "SELECT json_agg(r ORDER BY r::text) FROM (SELECT roleid::regrole, member::regrole FROM"
    " pg_auth_members) r UNION ALL SELECT json_agg(name || setting ORDER BY name) FROM pg_settings"
    " WHERE source = 'configuration file'"
)


@pytest.fixture
def shop(database: Database) -> Iterator[Database]:
    """A live database whose owner is no superuser, and a user of it."""
    owner, user = f"owner_{database.name}", f"user_{database.name}"
    database.psql(
        f'CREATE ROLE {owner}; CREATE ROLE {user} LOGIN; ALTER DATABASE "{database.name}" OWNER TO'
        f" {owner}; CREATE SCHEMA s; CREATE TABLE s.t (a int PRIMARY KEY, h text);"
        r" INSERT INTO s.t VALUES (1, E'a\tb'), (2, NULL); CREATE TABLE p (a int REFERENCES s.t);"
        f" ALTER TABLE p OWNER TO {owner}; SELECT lo_from_bytea(77, 'abc'); CREATE SEQUENCE q;"
    )
    yield database
    for name in databases_like(database, f"{database.name}%"):
        database.cluster.drop_database(name)
    assert database.cluster.psql("SELECT rolname FROM pg_roles WHERE rolname ~ '^snap_load_'") == ""
    database.cluster.psql(f"DROP ROLE {owner}; DROP ROLE {user}")


def pg_dump(database: Database, *options: str) -> str:
    done = subprocess.run(
        [database.cluster.binaries.program("pg_dump"), "-w", *options, database.dsn],
        env=database.cluster.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


# -- pg_dump with other options, as scripts and other tools call it --------------------------------


@pytest.mark.parametrize(
    "options",
    [
        "-C",
        "-c --if-exists",
        "-C -c",
        "-C -c --if-exists",
        "--inserts",
        "--column-inserts --rows-per-insert=2",
        "--quote-all-identifiers --disable-triggers -v",
        "--encoding=LATIN1 --serializable-deferrable",
        "-C -c --inserts --quote-all-identifiers",
    ],
)
def test_a_dump_with_other_options_restores_to_the_same_database(
    repo: Repository, shop: Database, tmp_path: Path, options: str
) -> None:
    before = shop.dump()
    snapshot = commit_file(repo, tmp_path / "x.sql", pg_dump(shop, *options.split()))
    shop.psql("DELETE FROM p; DELETE FROM s.t; DROP SEQUENCE q")
    neighbours = databases_like(shop, "%")
    report = restore_now(repo, snapshot, server_of(shop))
    assert shop.dump() == before
    # Of all databases only the scratch one was made, and it was renamed.
    assert report.kept is not None
    assert databases_like(shop, "%") == sorted([*neighbours, report.kept])


def test_a_dump_that_begins_by_dropping_is_refused_with_the_way_out(
    repo: Repository, shop: Database, tmp_path: Path
) -> None:
    snapshot = commit_file(repo, tmp_path / "x.sql", pg_dump(shop, "-c"))
    with pytest.raises(TargetRefused, match="without --if-exists") as caught:
        restore_now(repo, snapshot, server_of(shop))
    assert "DROP CONSTRAINT" in caught.value.detail
    assert "-c --if-exists" in caught.value.hint
    assert shop.psql("SELECT count(*) FROM s.t") == "2"


def test_a_dump_of_the_rows_alone_is_refused_before_anything_is_made(
    repo: Repository, shop: Database, tmp_path: Path
) -> None:
    before = shop.dump()
    snapshot = commit_file(repo, tmp_path / "x.sql", pg_dump(shop, "--data-only"))
    with pytest.raises(RestoreError, match="defines no tables"):
        restore_now(repo, snapshot, server_of(shop))
    assert shop.dump() == before


def test_a_cluster_dump_is_refused(repo: Repository, shop: Database, tmp_path: Path) -> None:
    text = subprocess.run(
        [shop.cluster.binaries.program("pg_dumpall"), "-w", "-d", shop.dsn, "--schema-only"],
        env=shop.cluster.environment(),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    with pytest.raises(UnusableInput, match="whole cluster") as caught:
        commit_file(repo, tmp_path / "x.sql", text)
    assert "pg_dump DATABASE" in caught.value.hint
    # Nor does it pass when something stands before it, or a part of it is cut out.
    restored = commit_file(repo, tmp_path / "y.sql", f"-- mine\n{text}")
    with pytest.raises(TargetRefused, match="pg_dump did not write"):
        restore_now(repo, restored, server_of(shop), RestoreOptions(partial=True))


def test_the_layout_of_pg_dump_9_is_read_and_restored(
    repo: Repository, shop: Database, tmp_path: Path
) -> None:
    text = NINE.format(owner=f"owner_{shop.name}", space=" ")
    snapshot = commit_file(repo, tmp_path / "x.sql", text)
    names = [section.name for section in repo.sections(repo.snapshot(snapshot))]
    kinds = "preamble pre-data data sequences post-data trailer"
    assert " ".join(name.kind for name in names) == kinds
    assert names[2].name == "old"
    restore_now(repo, snapshot, server_of(shop), RestoreOptions(partial=True))
    assert shop.psql("SELECT id, words FROM old ORDER BY 1") == "1|\\. is not the end\n2|"
    assert shop.psql("SELECT nextval('old_id_seq')") == "3"


def test_sql_written_by_hand_is_kept_byte_for_byte(
    repo: Repository, shop: Database, tmp_path: Path
) -> None:
    text = (
        "/* by hand */ create table t(a int, b text);\r\n"
        "insert into t values (1, 'it''s; -- no comment'), (2, $x$ ; \\. $x$);\n"
        "copy t from stdin;\n3\tthree\n\\.\n"
        "do $$ begin perform 1; end $$;\ncreate view v as select sum(a) s from t"
    )
    snapshot = commit_file(repo, tmp_path / "x.sql", text + ";\n")
    stream = snapshot_stream(repo, repo.snapshot(snapshot), restrict_key=None)
    assert b"".join(stream).decode() == text + ";\n"
    restore_now(repo, snapshot, server_of(shop, tcp=True), TRUST)
    assert shop.psql("SELECT s FROM v") == "6"


# -- bad intent ------------------------------------------------------------------------------------

LEVERS = {
    "program in": "COPY s FROM PROGRAM 'touch {evil}';",
    "program out": "COPY (SELECT 1) TO PROGRAM 'cat > {evil}';",
    "file out": "COPY (SELECT 1) TO '{evil}';",
    "file in": "CREATE TABLE f (l text); COPY f FROM '{secret}';",
    "lo_export": "SELECT lo_export(lo_from_bytea(0, 'x'), '{evil}');",
    "lo_import": "SELECT lo_import('{secret}');",
    "read file": "SELECT pg_read_file('{secret}');",
    "verifiers": "CREATE TABLE f AS SELECT * FROM pg_authid;",
    "config": "ALTER SYSTEM SET archive_command = 'touch {evil}';",
    "reload": "SELECT pg_reload_conf();",
    "superuser": "ALTER ROLE {user} SUPERUSER;",
    "password": "ALTER ROLE postgres PASSWORD 'mine';",
    "membership": "GRANT postgres TO CURRENT_USER; SET ROLE postgres;",
    "predefined": "GRANT pg_execute_server_program TO CURRENT_USER;",
    "login as": "SET SESSION AUTHORIZATION DEFAULT; SET SESSION AUTHORIZATION postgres;",
    "reassign": "REASSIGN OWNED BY postgres TO CURRENT_USER;",
    "drop owned": "DROP OWNED BY owner_{live} CASCADE;",
    "event trigger": "CREATE FUNCTION e() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN"
    " ALTER ROLE {user} SUPERUSER; END'; CREATE EVENT TRIGGER e ON ddl_command_end"
    " EXECUTE FUNCTION e();",
    "c function": "CREATE FUNCTION e() RETURNS int LANGUAGE c AS 'libc', 'abort';",
    "library": "LOAD '{evil}';",
    "preload": "DO $$BEGIN EXECUTE format('ALTER DATABASE %I SET session_preload_libraries = x',"
    " current_database()); END$$;",
    "kill": "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'postgres';",
    "settings": "ALTER DATABASE {live} SET search_path = evil;",
    "role settings": "ALTER ROLE {user} SET search_path = evil;",
    "rename itself": "DO $$BEGIN EXECUTE format('ALTER DATABASE %I RENAME TO x_{live}',"
    " current_database()); END$$;",
    "end of rows": "\\.\n",
    "shell": "\\! touch {evil}\n",
    "shell after rows": "COPY s FROM stdin;\n1\n\\.\n\\! touch {evil}\n",
    "shell in a line": "SELECT 1 \\! touch {evil}\n;",
    "output": "\\o {evil}\nSELECT 1;\n",
    "pipe": "\\o |touch {evil}\nSELECT 1;\n",
    "write": "SELECT 1 \\w {evil}\n",
    "include": "\\i {secret}\n",
    "copy": "\\copy (SELECT 1) TO '{evil}'\n",
    "copy program": "\\copy s FROM PROGRAM 'touch {evil}'\n",
    "connect": "\\connect postgres\n",
    "gexec": "SELECT 'ALTER ROLE {user} SUPERUSER' \\gexec\n",
    "set": "\\set ON_ERROR_STOP 0\nSELECT 1/0;\n",
    "unrestrict": "\\unrestrict x\n\\! touch {evil}\n",
    "unrestrict nothing": "\\unrestrict\n\\! touch {evil}\n",
    "restrict again": "\\restrict x\n\\unrestrict x\n\\! touch {evil}\n",
}


@pytest.mark.parametrize("lever", list(LEVERS))
def test_trusted_sql_moves_nothing_outside_its_scratch_database(
    repo: Repository, shop: Database, tmp_path: Path, lever: str
) -> None:
    evil, secret = tmp_path / "evil", tmp_path / "secret"
    secret.write_text("CREATE TABLE read_from_the_secret_file (a int);\n")
    for path in (tmp_path, *tmp_path.parents[:2]):
        path.chmod(0o777)
    names = {"live": shop.name, "user": f"user_{shop.name}", "evil": evil, "secret": secret}
    attack = LEVERS[lever]
    for key, value in names.items():
        attack = attack.replace(f"{{{key}}}", str(value))
    before = shop.dump(), shop.psql(ROLES), shop.psql(CLUSTER), databases_like(shop, "%")
    snapshot = commit_file(repo, tmp_path / "x.sql", f"CREATE TABLE s (a int);\n{attack}\n")
    with pytest.raises(SnapError):
        restore_now(repo, snapshot, server_of(shop, tcp=True), TRUST)
    assert (shop.dump(), shop.psql(ROLES), shop.psql(CLUSTER), databases_like(shop, "%")) == before
    assert not evil.exists()


# Nothing of this is refused: it waits for somebody else to run it.
TRAPS = """
CREATE FUNCTION public.rise() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE 'ALTER ROLE {user} SUPERUSER';
EXCEPTION WHEN OTHERS THEN NULL;
END $$;
CREATE FUNCTION public.rise(anyelement) RETURNS anyelement LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN PERFORM public.rise(); RETURN $1; END $$;
CREATE FUNCTION public.rise_definer() RETURNS void SECURITY DEFINER LANGUAGE sql
    AS 'SELECT public.rise()';
-- Operators and functions that stand in front of PostgreSQL's own.
CREATE FUNCTION public.eq(name, text) RETURNS boolean LANGUAGE sql
    AS 'SELECT public.rise(); SELECT $1 OPERATOR(pg_catalog.=) $2';
CREATE FUNCTION public.eq(oid, oid) RETURNS boolean LANGUAGE sql
    AS 'SELECT public.rise(); SELECT $1 OPERATOR(pg_catalog.=) $2';
CREATE OPERATOR public.= (LEFTARG = name, RIGHTARG = text, FUNCTION = public.eq);
CREATE OPERATOR public.= (LEFTARG = oid, RIGHTARG = oid, FUNCTION = public.eq);
CREATE FUNCTION public.format(text, VARIADIC text[]) RETURNS text LANGUAGE sql
    AS 'SELECT public.rise(); SELECT $1';
CREATE FUNCTION public.count(text) RETURNS bigint LANGUAGE sql
    AS 'SELECT public.rise(); SELECT 1::bigint';
DO $$ BEGIN EXECUTE pg_catalog.format('ALTER DATABASE %I SET search_path = public, pg_catalog',
    pg_catalog.current_database()); END $$;
CREATE TABLE public.bait (a int CHECK (public.rise(a) IS NOT NULL), b int DEFAULT public.rise(1));
INSERT INTO public.bait SELECT g FROM pg_catalog.generate_series(1, 500) g;
CREATE INDEX bait_index ON public.bait (public.rise(a));
CREATE STATISTICS public.bait_statistics ON (public.rise(a)), b FROM public.bait;
CREATE MATERIALIZED VIEW public.bait_view AS SELECT public.rise(a) FROM public.bait;
CREATE VIEW public.roles AS SELECT * FROM pg_catalog.pg_authid;
GRANT SELECT ON public.roles TO PUBLIC;
CREATE FUNCTION public.on_row() RETURNS trigger LANGUAGE plpgsql
    AS 'BEGIN PERFORM public.rise(); RETURN NEW; END';
CREATE TRIGGER bait_trigger BEFORE INSERT ON public.bait
    FOR EACH ROW EXECUTE FUNCTION public.on_row();
CREATE RULE bait_rule AS ON UPDATE TO public.bait DO ALSO SELECT public.rise();
SELECT pg_catalog.lo_from_bytea(0, 'x');
"""


def test_code_that_waits_for_a_superuser_is_run_by_none_of_our_own_statements(
    repo: Repository, shop: Database, tmp_path: Path
) -> None:
    user = f"user_{shop.name}"
    text = TRAPS.replace("{user}", user)
    before = shop.psql(ROLES), shop.psql(CLUSTER)
    snapshot = commit_file(repo, tmp_path / "x.sql", text)
    restore_now(repo, snapshot, server_of(shop, tcp=True), TRUST)
    assert (shop.psql(ROLES), shop.psql(CLUSTER)) == before
    assert shop.psql("SHOW search_path") == '"$user", public'
    # What it left belongs to the database's owner, who is no superuser: so has no rights to lend.
    shop.psql("SELECT public.rise_definer()", user=user)
    shop.psql(
        "ANALYZE public.bait; REINDEX TABLE public.bait; ALTER TABLE bait DISABLE TRIGGER ALL"
    )
    refused = subprocess.run(
        [shop.cluster.binaries.program("psql"), "-X", "-c", "SELECT * FROM public.roles",
         shop.cluster.dsn(shop.name, user=user)],
        env=shop.cluster.environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "permission denied" in refused.stderr
    assert shop.psql(ROLES) == before[0]


def test_the_next_commit_runs_none_of_the_code_either(
    repo: Repository, shop: Database, tmp_path: Path
) -> None:
    text = TRAPS.replace("{user}", f"user_{shop.name}")
    restore_now(repo, commit_file(repo, tmp_path / "x.sql", text), server_of(shop, tcp=True), TRUST)
    # The owner may set this: it must not lead a superuser's own session astray.
    shop.psql(f'ALTER DATABASE "{shop.name}" SET search_path = public, pg_catalog')
    before = shop.psql(f"SET search_path = pg_catalog; {ROLES}")
    commit_database(repo, server_of(shop))
    assert shop.psql(f"SET search_path = pg_catalog; {ROLES}") == before
