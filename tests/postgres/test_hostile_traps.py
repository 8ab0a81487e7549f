"""SQL of strangers that lays traps: functions wherever a later statement might call them.

Each notes who ran it. None may ever run with the rights of whoever restores or commits.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pgsnap.errors import RestoreFailed, TargetRefused
from pgsnap.repository.repository import Repository
from pgsnap.workflows.diff.diff import diff
from pgsnap.workflows.restore.plan import RestoreOptions
from support.restoring.clients import (
    commit_database,
    commit_file,
    databases_like,
    restore_now,
    server_of,
)
from support.servers.databases import Database

NOTE = """
CREATE TABLE public.ran (who text, what text);
GRANT ALL ON public.ran TO PUBLIC;
CREATE FUNCTION public.note(what text) RETURNS boolean VOLATILE LANGUAGE plpgsql AS $$
BEGIN INSERT INTO public.ran VALUES (session_user || '/' || current_user, what);
RETURN true; END $$;
CREATE FUNCTION public.calls(what text) RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN PERFORM public.note(what); RETURN true; END $$;
CREATE TABLE public.t (a int, b text);
INSERT INTO public.t SELECT i, i::text FROM generate_series(1, 50) i;
"""
TRAPS = {
    "row security": """
ALTER TABLE public.t ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.t FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON public.t USING (public.note('policy')) WITH CHECK (public.note('check'));
""",
    "index and statistics": """
CREATE INDEX i ON public.t ((public.calls('index')));
CREATE STATISTICS s ON (public.calls('statistics')), (a + 1) FROM public.t;
""",
    "operators": """
CREATE FUNCTION public.same(text, text) RETURNS boolean LANGUAGE sql
  AS $$ SELECT public.note('operator') $$;
CREATE FUNCTION public.same(name, name) RETURNS boolean LANGUAGE sql
  AS $$ SELECT public.note('operator') $$;
CREATE FUNCTION public.same(oid, oid) RETURNS boolean LANGUAGE sql
  AS $$ SELECT public.note('operator') $$;
CREATE FUNCTION public.joined(text, text) RETURNS text LANGUAGE sql
  AS $$ SELECT public.note('operator')::text $$;
CREATE OPERATOR public.= (LEFTARG = text, RIGHTARG = text, FUNCTION = public.same);
CREATE OPERATOR public.= (LEFTARG = name, RIGHTARG = name, FUNCTION = public.same);
CREATE OPERATOR public.= (LEFTARG = oid, RIGHTARG = oid, FUNCTION = public.same);
CREATE OPERATOR public.|| (LEFTARG = text, RIGHTARG = text, FUNCTION = public.joined);
""",
    "functions of well-known names": """
CREATE FUNCTION public.current_setting(text) RETURNS text LANGUAGE sql
  AS $$ SELECT public.note('function')::text $$;
CREATE FUNCTION public.set_config(text, text, boolean) RETURNS text LANGUAGE sql
  AS $$ SELECT public.note('function')::text $$;
CREATE FUNCTION public.quote_ident(text) RETURNS text LANGUAGE sql
  AS $$ SELECT public.note('function')::text $$;
CREATE FUNCTION public.current_database() RETURNS name LANGUAGE sql
  AS $$ SELECT public.note('function')::text::name $$;
""",
    "relations of well-known names": """
CREATE VIEW public.pg_class AS SELECT c.*, public.note('view') FROM pg_catalog.pg_class c;
CREATE VIEW public.pg_database AS SELECT d.*, public.note('view') FROM pg_catalog.pg_database d;
CREATE VIEW public.pg_roles AS SELECT r.*, public.note('view') FROM pg_catalog.pg_roles r;
CREATE TEMP VIEW pg_namespace AS SELECT public.note('temp') FROM pg_catalog.pg_namespace;
CREATE FUNCTION pg_temp.f() RETURNS boolean LANGUAGE sql AS $$ SELECT public.note('temp') $$;
""",
    "search path of the database": """
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = public, pg_temp, pg_catalog',
  pg_catalog.current_database()); END $$;
CREATE FUNCTION public.count() RETURNS bigint LANGUAGE sql
  AS $$ SELECT public.note('count')::int::bigint $$;
""",
    "rules and triggers": """
CREATE FUNCTION public.fires() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM public.note('trigger'); RETURN NEW; END $$;
CREATE TRIGGER g BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON public.t
  FOR EACH STATEMENT EXECUTE FUNCTION public.fires();
CREATE RULE r AS ON UPDATE TO public.t DO ALSO SELECT public.note('rule');
""",
    "casts, domains and defaults": """
CREATE DOMAIN public.d AS text CHECK (public.note('domain'));
CREATE TABLE public.u (a public.d DEFAULT public.note('default')::text,
  b boolean GENERATED ALWAYS AS (public.calls('generated')) STORED);
INSERT INTO public.u VALUES ('x');
""",
    "materialized views": """
CREATE MATERIALIZED VIEW public.m AS SELECT public.note('materialized') AS a;
CREATE INDEX mi ON public.m ((public.calls('index of it')));
""",
}


@pytest.fixture
def shop(database: Database) -> Iterator[Database]:
    owner = f"owns_{database.name}"
    database.psql(f'CREATE ROLE {owner}; ALTER DATABASE "{database.name}" OWNER TO {owner}')
    yield database
    for name in databases_like(database, f"{database.name}%"):
        database.cluster.drop_database(name)
    database.cluster.psql(f"DROP ROLE {owner}")


def who_ran(database: Database) -> set[str]:
    """Return as whom traps ran: each side of "login/now" is one."""
    found = database.psql("SELECT DISTINCT who FROM public.ran").splitlines()
    return {name for who in found for name in who.split("/")}


@pytest.mark.parametrize("kind", list(TRAPS))
def test_no_trap_runs_with_the_rights_of_whoever_restores(
    repo: Repository, shop: Database, tmp_path: Path, kind: str
) -> None:
    server = server_of(shop, tcp=True)
    me = shop.cluster.superuser
    snapshot = commit_file(repo, tmp_path / "x.sql", NOTE + TRAPS[kind])
    restore_now(repo, snapshot, server, RestoreOptions(trust_sql=True, partial=True))
    assert me not in who_ran(shop)
    before = who_ran(shop)
    # What reads it later as a superuser runs none either.
    committed = commit_database(repo, server)
    diff(repo, snapshot, committed)
    assert who_ran(shop) == before
    assert me not in who_ran(shop)


@pytest.mark.parametrize(
    "attack",
    [
        "CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION public.ev()",
        "SET SESSION AUTHORIZATION {me}",
        "SET ROLE {me}",
        "ALTER ROLE {me} SET search_path = public",
        "ALTER SYSTEM SET search_path = public",
        "CREATE EXTENSION file_fdw",
        "CREATE FUNCTION f() RETURNS int LANGUAGE c AS 'x', 'y'",
        "ALTER FUNCTION pg_catalog.current_database() OWNER TO CURRENT_USER",
        "CREATE FUNCTION pg_catalog.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "ALTER DATABASE CURRENT_DB SET session_preload_libraries = 'x'",
        "GRANT {me} TO CURRENT_USER",
    ],
)
def test_what_would_reach_further_is_refused_by_the_server(
    repo: Repository, shop: Database, tmp_path: Path, attack: str
) -> None:
    text = (
        NOTE
        + "CREATE FUNCTION public.ev() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';\n"
        + attack.format(me=shop.cluster.superuser).replace("CURRENT_DB", '"x"')
        + ";\n"
    )
    snapshot = commit_file(repo, tmp_path / "x.sql", text)
    with pytest.raises((RestoreFailed, TargetRefused)):
        restore_now(
            repo, snapshot, server_of(shop, tcp=True), RestoreOptions(trust_sql=True, partial=True)
        )
    assert databases_like(shop, f"{shop.name}\\_\\_snap\\_%") == []
