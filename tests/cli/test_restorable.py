"""That a snapshot cannot be restored is told as soon as it can be known: by commit and doctor where
the catalogs show it, by all that look at snapshots once a drill has failed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.restoring.clients import databases_like
from support.running.commandline import CommandLine
from support.servers.databases import Database, new_name

READS_ANOTHER_TABLE = """
CREATE TABLE zone (name text PRIMARY KEY); INSERT INTO zone VALUES ('a');
CREATE FUNCTION known(text) RETURNS bool LANGUAGE sql STABLE AS
    'SELECT EXISTS (SELECT FROM public.zone WHERE name = $1)';
CREATE TABLE place (zone text CONSTRAINT in_zone CHECK (public.known(zone)));
INSERT INTO place VALUES ('a')
"""
GENERATED = """
CREATE SEQUENCE zz_numbers; CREATE FUNCTION numbered() RETURNS text LANGUAGE sql IMMUTABLE
    AS $$ SELECT 'N' || nextval('public.zz_numbers'::regclass) $$;
CREATE TABLE bill (note text, no text GENERATED ALWAYS AS (public.numbered()) STORED);
CREATE TABLE fine (id serial, at timestamptz DEFAULT now(),
    twice int GENERATED ALWAYS AS (2) STORED)
"""

# Words that are equal whatever their case, by an operator that is not in pg_dump's search path.
WORDS = """
CREATE SCHEMA ext; CREATE TYPE ext.word AS (t text);
CREATE FUNCTION ext.same(ext.word, ext.word) RETURNS bool LANGUAGE sql IMMUTABLE
    AS 'SELECT lower($1.t) = lower($2.t)';
CREATE OPERATOR ext.= (FUNCTION = ext.same, LEFTARG = ext.word, RIGHTARG = ext.word);
SET search_path = ext, public;
CREATE TABLE public.pair (a word, b word);
INSERT INTO public.pair VALUES (row('X'), row('x'));
CREATE VIEW public.distinct_from AS SELECT a IS DISTINCT FROM b FROM pair;
CREATE VIEW public.null_if AS SELECT nullif(a, b) FROM pair;
CREATE VIEW public.case_when AS SELECT CASE a WHEN b THEN 1 ELSE 2 END FROM pair;
CREATE VIEW public.join_using AS SELECT count(*)
    FROM (SELECT a FROM pair) p JOIN (SELECT b AS a FROM pair) q USING (a);
CREATE MATERIALIZED VIEW public.two_columns AS SELECT count(*)
    FROM (SELECT 1 AS n, a FROM pair) p JOIN (SELECT 1 AS n, b AS a FROM pair) q USING (n, a);
"""
NAMED_WORDS = """
SET search_path = ext, public;
CREATE VIEW public.equal (c, d, e, f, g) AS SELECT a = b, a IN (b, a), a IN (SELECT b FROM pair),
    CASE WHEN a = b THEN 1 END, (a).t IS DISTINCT FROM (b).t FROM pair;
CREATE VIEW public.join_on AS SELECT count(*) FROM pair p JOIN pair q ON p.a = q.b
    JOIN (SELECT 1 AS n) r JOIN (SELECT 1 AS n) s USING (n) ON p.a = q.a;
"""
OTHER_WORDS = """
SET search_path = ext, public;
ALTER TABLE pair ADD CONSTRAINT checked CHECK (nullif(a, b) IS NULL),
    ADD COLUMN made bool GENERATED ALWAYS AS (a IS NOT DISTINCT FROM b) STORED;
CREATE INDEX part ON pair ((1)) WHERE a IS DISTINCT FROM b;
CREATE POLICY allowed ON pair USING (a IS DISTINCT FROM b);
CREATE FUNCTION public.nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER fires BEFORE UPDATE ON pair FOR EACH ROW WHEN (OLD.a IS DISTINCT FROM NEW.a)
    EXECUTE FUNCTION public.nothing();
CREATE FUNCTION public.parsed(word, word) RETURNS bool RETURN $1 IS DISTINCT FROM $2;
CREATE RULE also AS ON DELETE TO pair WHERE OLD.a IS DISTINCT FROM OLD.b DO ALSO NOTHING;
"""


@pytest.fixture
def roles(database: Database) -> Iterator[tuple[str, str, str]]:
    names = new_name("owner"), new_name("Middle"), new_name("reader")
    database.psql("".join(f'CREATE ROLE "{name}";' for name in names))
    yield names
    listed = ", ".join(f'"{name}"' for name in names)
    for name in databases_like(database, f"{database.name}%"):
        Database(database.cluster, name).psql(f"DROP OWNED BY {listed}")
    database.psql(f"DROP ROLE {listed}")


@pytest.mark.parametrize(
    "grants",
    [
        ("SELECT", "TABLE shop.t"),
        ("UPDATE (a)", "TABLE shop.t"),
        ("EXECUTE", "FUNCTION shop.f()"),
        ("USAGE", "TYPE shop.mood"),
    ],
)
def test_a_grantor_who_lost_the_schema_is_told_by_commit_and_doctor_and_the_statement_mends_it(
    snap: CommandLine, database: Database, roles: tuple[str, str, str], grants: tuple[str, str]
) -> None:
    owner, middle, reader = roles
    right, what = grants
    database.psql(
        "CREATE SCHEMA shop; CREATE TABLE shop.t (a int); CREATE TYPE shop.mood AS ENUM ('x');"
        "CREATE FUNCTION shop.f() RETURNS int LANGUAGE sql AS 'SELECT 1';"
        f'ALTER {what} OWNER TO "{owner}"; GRANT USAGE ON SCHEMA shop TO "{owner}", "{middle}";'
        f'GRANT {right} ON {what} TO "{middle}" WITH GRANT OPTION;'
        f'SET SESSION AUTHORIZATION "{middle}"; GRANT {right} ON {what} TO "{reader}";'
        f'RESET SESSION AUTHORIZATION; REVOKE USAGE ON SCHEMA shop FROM "{middle}"'
    )
    snap.setenv("DATABASE_URL", database.dsn)
    snap.ok("init")
    (notice,) = snap.ok("commit", "-m", "one", "--json").json["notices"]
    statement = f'GRANT USAGE ON SCHEMA "shop" TO "{middle}";'
    assert notice.endswith(f"To mend it: {statement}")
    assert f"what {middle} granted in the schema shop cannot be granted again" in notice
    (step,) = (s for s in snap("doctor", "--json").json["steps"] if s["name"] == "restorable")
    assert (step["health"], step["next"]) == ("red", f"To mend it: {statement}")
    database.psql(statement)
    assert snap.ok("commit", "-m", "two", "--json").json["notices"] == []
    assert not any(s["name"] == "restorable" for s in snap("doctor", "--json").json["steps"])
    snap.ok("restore", "latest", "--yes", "--no-safety-snapshot")


def test_a_generated_column_that_draws_from_a_sequence_is_told_by_commit_and_doctor(
    snap: CommandLine, database: Database
) -> None:
    database.psql(GENERATED)
    snap.setenv("DATABASE_URL", database.dsn)
    snap.ok("init")
    (notice,) = snap.ok("commit", "-m", "one", "--json").json["notices"]
    assert "public.bill.no calls public.numbered(), whose body draws from a sequence" in notice
    (step,) = (s for s in snap("doctor", "--json").json["steps"] if s["name"] == "restorable")
    assert step["health"] == "warning"


def test_an_identity_sequence_whose_end_no_dump_holds_is_told_by_commit_and_doctor(
    snap: CommandLine, database: Database
) -> None:
    """Those of its column's type, or with an end of their own, come back as they are."""
    database.psql(
        "CREATE TABLE t (a smallint GENERATED ALWAYS AS IDENTITY, b int GENERATED ALWAYS AS"
        " IDENTITY (INCREMENT -1), c bigint GENERATED ALWAYS AS IDENTITY, d int GENERATED ALWAYS"
        " AS IDENTITY, e int GENERATED ALWAYS AS IDENTITY (MAXVALUE 50), f bigserial);"
        "ALTER SEQUENCE t_a_seq AS bigint; ALTER SEQUENCE t_b_seq AS smallint;"
        "ALTER SEQUENCE t_d_seq AS bigint MAXVALUE 99999999999; ALTER SEQUENCE t_f_seq AS integer"
    )
    snap.setenv("DATABASE_URL", database.dsn)
    snap.ok("init")
    wide, narrow = snap.ok("commit", "-m", "one", "--json").json["notices"]
    assert "public.t_a_seq is of type bigint and ends at 9223372036854775807" in wide
    statement = 'To mend it, give the two one type: ALTER SEQUENCE "public"."t_b_seq" AS integer;'
    assert "ends at -32768, its column public.t.b is of type integer" in narrow
    assert narrow.endswith(statement)
    steps = [s for s in snap("doctor", "--json").json["steps"] if s["name"] == "restorable"]
    assert [(s["health"], s["next"]) for s in steps][1] == ("warning", statement)
    database.psql("ALTER SEQUENCE t_a_seq AS smallint; ALTER SEQUENCE t_b_seq AS integer")
    assert snap.ok("commit", "-m", "two", "--json").json["notices"] == []


def test_comparisons_for_which_no_dump_names_the_operator_are_told_by_commit_and_doctor(
    snap: CommandLine, database: Database
) -> None:
    database.psql(WORDS + NAMED_WORDS)
    hidden = ("distinct_from", "null_if", "case_when", "join_using", "two_columns")
    snap.setenv("DATABASE_URL", database.dsn)
    snap.ok("init")
    (notice,) = snap.ok("commit", "-m", "one", "--json").json["notices"]
    assert "no dump names the operator ext.=(ext.word,ext.word) for" in notice
    assert all(f"view public.{name}" in notice for name in hidden)
    assert "equal" not in notice
    assert "join_on" not in notice
    (step,) = (s for s in snap("doctor", "--json").json["steps"] if s["name"] == "restorable")
    assert step["health"] == "warning"
    # As it says: the views answer otherwise, and those that compare with = do not.
    copy = Database(database.cluster, f"{database.name}_copy")
    snap.ok("restore", "latest", "--to", copy.name, "--yes")
    try:
        for name in hidden:
            ask = f"SELECT * FROM {name}"
            assert database.psql(ask) != copy.psql(ask), name
        for name in ("equal", "join_on"):
            assert database.psql(f"SELECT * FROM {name}") == copy.psql(f"SELECT * FROM {name}")
    finally:
        database.cluster.drop_database(copy.name)


def test_rows_that_are_compared_by_operators_of_several_schemas_are_told(
    snap: CommandLine, database: Database
) -> None:
    database.psql(
        "CREATE EXTENSION citext; CREATE TABLE t (a citext, n int, b citext, m int);"
        "INSERT INTO t VALUES ('X', 1, 'x', 1);"
        "CREATE VIEW rows_in AS SELECT (n, a) IN (SELECT m, b FROM t) FROM t;"
        "CREATE VIEW rows_in_order AS SELECT (n, a) >= (m, b) FROM t;"
        "CREATE VIEW not_in_all AS SELECT (n, a) <> ALL (SELECT m, b FROM t) FROM t;"
        "CREATE VIEW fine (c, d, e) AS SELECT (a, b) IN (SELECT b, a FROM t), (n, a) = (m, b),"
        " (a, b) >= (b, a) FROM t"
    )
    snap.setenv("DATABASE_URL", database.dsn)
    snap.ok("init")
    told = " ".join(snap.ok("commit", "-m", "one", "--json").json["notices"])
    copy = Database(database.cluster, f"{database.name}_copy")
    snap.ok("restore", "latest", "--to", copy.name, "--yes")
    try:
        for name in ("rows_in", "rows_in_order", "not_in_all"):
            ask = f"SELECT * FROM {name}"
            assert database.psql(ask) != copy.psql(ask), name
            assert f"view public.{name}" in told
        assert database.psql("SELECT * FROM fine") == copy.psql("SELECT * FROM fine")
        assert "fine" not in told
    finally:
        database.cluster.drop_database(copy.name)
    database.psql("CREATE VIEW first_of_two AS SELECT (a, n) IN (SELECT b, m FROM t) FROM t")
    told = " ".join(snap.ok("commit", "-m", "two", "--json").json["notices"])
    assert "view public.first_of_two" in told
    failed = snap("restore", "latest", "--to", copy.name, "--yes")
    assert failed.code == 40
    assert "first_of_two" in failed.err


def test_such_comparisons_are_found_in_all_that_has_expressions(
    snap: CommandLine, database: Database
) -> None:
    database.psql(WORDS + OTHER_WORDS)
    snap.setenv("DATABASE_URL", database.dsn)
    snap.ok("init")
    (notice,) = snap.ok("commit", "-m", "one", "--json").json["notices"]
    for name in ("checked", "made", "part", "allowed", "fires", "parsed(", "also"):
        assert name in notice, name


def test_why_a_drill_failed_is_told_by_all_that_look_at_snapshots(
    snap: CommandLine, database: Database
) -> None:
    database.psql(READS_ANOTHER_TABLE)
    snap.setenv("DATABASE_URL", database.dsn)
    snap.ok("init")
    assert snap.ok("commit", "-m", "one", "--json").json["notices"] == []
    assert snap("drill").code == 65
    why = "restore: the restore stopped: "
    (logged,) = snap.ok("log", "--json").json
    assert logged["drill_reason"].startswith(why)
    assert "in_zone" in logged["drill_reason"]
    assert f"drill FAILED just now: {why}" in snap.ok("log").out
    assert "[drill FAILED just now] one" in snap.ok("log", "--oneline").out
    assert snap.ok("show", "latest", "--json").json["drill_reason"] == logged["drill_reason"]
    checked = snap("check", "--json").json
    assert checked["databases"][0]["drill_reason"] == logged["drill_reason"]
    assert any(why in finding["text"] for finding in checked["findings"])
    assert any(why in step["text"] for step in snap("doctor", "--json").json["steps"])
    shown = snap("restore", "latest")
    assert "the last drill of this snapshot failed: " + why in shown.out + shown.err
    (notice,) = snap.ok("commit", "-m", "two", "--json").json["notices"]
    assert "the last drill of" in notice
    assert logged["drill_reason"] in notice
    database.psql("ALTER TABLE place DROP CONSTRAINT in_zone")
    snap.ok("commit", "-m", "three")
    snap("drill")
    assert snap.ok("log", "--json").json[0]["drill_reason"] is None
    assert snap.ok("commit", "-m", "four", "--json").json["notices"] == []


@pytest.mark.parametrize(
    ("outer", "inner", "is_refused"),
    [
        ("LANGUAGE sql IMMUTABLE AS 'SELECT public.inner_one()'",
         "LANGUAGE sql IMMUTABLE AS $$SELECT 'N' || nextval('public.zz')$$", True),
        ("LANGUAGE sql IMMUTABLE AS 'SELECT public.inner_one()'",
         "LANGUAGE sql VOLATILE AS $$SELECT 'N' || nextval('public.zz')$$", False),
        ("LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN public.inner_one(); END'",
         "LANGUAGE sql IMMUTABLE AS $$SELECT 'N' || nextval('public.zz')$$", False),
        ("LANGUAGE sql IMMUTABLE RETURN public.inner_one()",
         "LANGUAGE sql IMMUTABLE RETURN 'N' || nextval('public.zz')", False),
        ("LANGUAGE plpgsql IMMUTABLE SET search_path = public AS 'BEGIN RETURN Inner_one (); END'",
         "LANGUAGE plpgsql AS $$BEGIN RETURN 'N' || pg_catalog.NEXTVAL('public.zz'); END$$", False),
    ],
    ids=["sql", "volatile", "plpgsql", "parsed", "by search path"],
)  # fmt: skip
def test_a_generated_column_that_draws_by_way_of_a_second_function_is_told_too(
    snap: CommandLine, database: Database, outer: str, inner: str, is_refused: bool
) -> None:
    database.psql(
        f"CREATE SEQUENCE zz; CREATE FUNCTION inner_one() RETURNS text {inner};"
        f"CREATE FUNCTION numbered() RETURNS text {outer};"
        "CREATE FUNCTION harmless() RETURNS text LANGUAGE sql IMMUTABLE AS $$SELECT 'a'$$;"
        "CREATE TABLE fine (a text GENERATED ALWAYS AS (public.harmless()) STORED);"
        "CREATE TABLE bill (note text, no text GENERATED ALWAYS AS (public.numbered()) STORED);"
        "INSERT INTO bill VALUES ('x')"
    )
    snap.setenv("DATABASE_URL", database.dsn)
    snap.ok("init")
    (notice,) = snap.ok("commit", "-m", "one", "--json").json["notices"]
    assert "public.bill.no calls public.numbered(), whose body draws from a sequence" in notice
    shown = snap("restore", "latest", "--yes", "--no-safety-snapshot", "--json")
    if is_refused:
        assert shown.code == 40
        assert "the generated column public.bill.no cannot be made again" in shown.err
        # Nor by psql.
        database.psql("CREATE DATABASE nothing_else")
        try:
            with pytest.raises(AssertionError, match="zz"):
                Database(database.cluster, "nothing_else").restore(database.dump())
        finally:
            database.cluster.drop_database("nothing_else")
    elif shown.code:
        # Where it cannot be told before, what stops the load is the sequence or the function.
        assert "zz" in shown.err or "inner_one" in shown.err
        assert "pg_dump does not look into" in shown.err
    else:
        assert any("or calls what does" in text for text in shown.json["warnings"])
