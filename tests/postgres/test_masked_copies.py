"""What was masked is nowhere in a copy: not in tables, WAL or statistics, and not in files."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator

import pytest

from pgsnap.cluster.binaries import Binaries
from pgsnap.cluster.cluster import Cluster
from support.running.commandline import CommandLine
from support.servers.databases import TEST_SETTINGS, Database

# Found in any case, in every value that is to be masked; of a uuid and a bigint their bytes.
MARK = b"markq7x"
MARKS = (MARK, bytes.fromhex("feedfacecafebeef"), (0x5EC4E7C0FFEE1234).to_bytes(8, "little"))
SOURCE = """
CREATE SCHEMA m;
CREATE TYPE m.pair AS (a text, b text);
CREATE DOMAIN m.line AS text NOT NULL;
CREATE DOMAIN m.papers AS json;
CREATE TABLE m.people (
  id int PRIMARY KEY, big bigint UNIQUE, uid uuid UNIQUE, email text UNIQUE NOT NULL,
  name varchar(40), code char(24) UNIQUE, ci extensions.citext UNIQUE, born date,
  seen timestamptz, low text GENERATED ALWAYS AS (lower(email)) STORED, j jsonb, js json,
  d jsonb, dl m.papers, b bytea, arr text[], p m.pair,
  h extensions.hstore, ts tsvector, nm name, dom m.line, free text,
  CHECK (length(email) > 3));
ALTER TABLE m.people ALTER free SET STORAGE EXTERNAL;
INSERT INTO m.people (id, big, uid, email, name, code, ci, born, seen, j, js, d, dl, b, arr, p,
    h, ts, nm, dom, free)
  SELECT n, 6828837751114043956, 'feedface-cafe-beef-0000-000000000001', m || '@x', m, m, m,
    '1980-02-29', '1990-01-01', jsonb_build_object(m, m), json_build_object(m, m),
    jsonb_build_object('mail', m, 'big', 6828837751114043956, 'n', 1.50, 'more', ARRAY[m, m]),
    format(
      E'{"x":\t{"a": "%s", "k": "\\\\u00e9"}, "x": [{"a": {"%s": 1}}]}', m,
      repeat(m, 20000))::json,
    m::bytea,
    ARRAY[m, m], (m, m)::m.pair, extensions.hstore(m, m), to_tsvector(m), m, m, repeat(m, 20000)
  FROM (VALUES (1, 'MarkQ7x')) v(n, m);
INSERT INTO m.people (id, email, dom)
  SELECT n, 'MarkQ7x' || n, 'MarkQ7x' FROM generate_series(2, 400) n;
CREATE INDEX ON m.people (name);
CREATE INDEX ON m.people (upper(email));
CREATE TABLE m.orders (id bigint PRIMARY KEY, person bigint NOT NULL REFERENCES m.people (id),
  mail text REFERENCES m.people (email), big bigint REFERENCES m.people (big), note text);
INSERT INTO m.orders SELECT n, 1 + n % 400, CASE n % 2 WHEN 0 THEN 'MarkQ7x2' END, NULL,
  'MarkQ7x' || repeat(' and more of it', 12) FROM generate_series(1, 9000) n;
CREATE TABLE m.visits (day date, person text, PRIMARY KEY (day, person)) PARTITION BY RANGE (day);
CREATE TABLE m.visits_1 PARTITION OF m.visits FOR VALUES FROM ('2000-01-01') TO ('2001-01-01');
CREATE TABLE m.visits_2 PARTITION OF m.visits FOR VALUES FROM ('2001-01-01') TO ('2002-01-01');
CREATE TABLE m.visits_3 PARTITION OF m.visits DEFAULT;
INSERT INTO m.visits SELECT date '2000-06-01' + n, 'MarkQ7x' || n FROM generate_series(1, 400) n;
CREATE TABLE m.hashed (k text, v text) PARTITION BY HASH (k);
CREATE TABLE m.hashed_0 PARTITION OF m.hashed FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE m.hashed_1 PARTITION OF m.hashed FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO m.hashed SELECT 'MarkQ7x' || n, 'kept' FROM generate_series(1, 300) n;
CREATE TABLE m.base (t text);
CREATE TABLE m.child (more text) INHERITS (m.base);
INSERT INTO m.child VALUES ('MarkQ7x', 'MarkQ7x');
CREATE TABLE m.sessions (t text);
INSERT INTO m.sessions VALUES ('MarkQ7x');
CREATE MATERIALIZED VIEW m.seen AS SELECT email, name, born FROM m.people;
SELECT lo_from_bytea(0, 'MarkQ7x');
ANALYZE;
"""
MASKS = """
[tables."m.people"]
id = "hash"
big = "hash"
uid = "hash"
email = "hash"
name = { fake = "name" }
code = "hash"
ci = { fake = "email", domain = "ci" }
born = { shift = 200 }
seen = { truncate = "year" }
j = { fixed = '{"a": "\\u00e9\\n"}' }
js = "null"
d = { json = { mail = "hash", big = "hash", "more[]" = { fake = "name" } } }
dl = { json = { "x.a" = "hash" } }
b = { fixed = '\\x00' }
arr = { fixed = "{}" }
p = "null"
h = "null"
ts = "null"
nm = { fixed = "nobody" }
dom = { truncate = 0 }
free = { hash = "free", length = 64 }
[tables."m.orders"]
id = "keep"
person = "hash"
mail = "hash"
big = "hash"
note = { truncate = 0 }
[tables."m.visits"]
day = { shift = 300, by = "person" }
person = { fake = "username" }
[tables."m.hashed"]
k = "hash"
v = "keep"
[tables."m.base"]
t = "null"
[tables."m.child"]
t = "null"
more = { fake = "company" }
"""
SAME = (
    "SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM"
    " (SELECT p::text FROM m.people p UNION ALL SELECT o::text FROM m.orders o"
    " UNION ALL SELECT v::text FROM m.visits v UNION ALL SELECT h::text FROM m.hashed h) t"
)


@pytest.fixture(scope="module")
def elsewhere(binaries: Binaries) -> Iterator[Cluster]:
    """A server in whose files nothing but masked copies ever was."""
    with Cluster(binaries, fsync=False, settings=TEST_SETTINGS) as made:
        yield made


def marks_in(cluster: Cluster) -> set[bytes]:
    """Return the marks that stand in any file of *cluster*."""
    cluster.psql("CHECKPOINT")
    found: set[bytes] = set()
    for path in cluster.data_folder.rglob("*"):
        if path.is_file():
            text = path.read_bytes()
            lower = text.lower()
            found |= {mark for mark in MARKS if mark in text or (mark is MARK and mark in lower)}
    return found


def write_masks(snap: CommandLine) -> None:
    """Write a file of masks for the sample and the tables above: the first one, with all of these
    tables as they should be."""
    snap.ok("mask", "init", "latest")
    path = snap.work / "masks.toml"
    head, *tables = path.read_text().split("\n[tables.")
    kept = "".join(f"\n[tables.{table}" for table in tables if not table.startswith('"m.'))
    head = head.replace("without_rows = []", 'without_rows = ["m.sessions"]')
    path.write_text(f"{head}{kept}{MASKS}")


def test_nothing_that_was_masked_is_in_any_file_of_a_copy(
    snap: CommandLine, sample_database: Database, cluster: Cluster, elsewhere: Cluster
) -> None:
    sample_database.psql(SOURCE)
    # They can be found where they are.
    assert marks_in(cluster) == set(MARKS)
    snap.use_tools_of(cluster)
    snap.setenv("DATABASE_URL", sample_database.dsn)
    snap.ok("init")
    done = snap.ok("commit", "-m", "first", "--json").json["id"]
    write_masks(snap)
    snap.ok("mask", "check", "latest")
    snap.ok("export", "latest", "copy.sql.gz", "--mask", "masks.toml")
    snap.setenv("DATABASE_URL", Database(elsewhere, "postgres").dsn)
    words = ("--mask", "masks.toml", "--create-roles", "--jobs", "2", "--yes")
    snap.ok("restore", done, "--to", "dev", *words)
    assert marks_in(elsewhere) == set()
    dev = Database(elsewhere, "dev")
    counts = "SELECT count(*), count(DISTINCT id), min(id) > 0, count(*) FILTER (WHERE id < 401)"
    assert dev.psql(f"{counts} FROM m.people").strip() == "400|400|t|0"
    assert dev.psql("SELECT count(*) FROM m.orders JOIN m.people p ON p.id = person").strip() == (
        "9000"
    )
    assert dev.psql("SELECT bool_and(low = lower(email)) FROM m.people").strip() == "t"
    same = "count(*) FILTER (WHERE d->>'mail' ~ '^[0-9a-f]{32}$' AND d->>'big' = big::text"
    same += " AND d->>'n' = '1.50' AND jsonb_array_length(d->'more') = 2)"
    kept = r""""x":\t{"a": "[0-9a-f]{32}", "k": "\\u00e9"}, "x": \[{"a": null}\]"""
    kept = f"count(*) FILTER (WHERE dl::text ~ '^{{{kept}}}$')"
    assert dev.psql(f"SELECT {same}, {kept} FROM m.people").strip() == "1|1"
    # They are in other partitions now, as far as their days are.
    rows = dev.psql("SELECT count(*), count(DISTINCT tableoid) FROM m.visits").strip()
    assert rows == "400|3"
    empty = dev.psql("SELECT (SELECT count(*) FROM m.sessions), count(*) FROM pg_largeobject")
    assert empty.strip() == "0|0"
    # The same key makes the same of everything, in a file too.
    text = gzip.decompress((snap.work / "copy.sql.gz").read_bytes())
    assert MARK not in text.lower()
    elsewhere.create_database("by_hand")
    by_hand = Database(elsewhere, "by_hand")
    by_hand.restore(text)
    assert by_hand.psql(SAME) == dev.psql(SAME)
    assert marks_in(elsewhere) == set()


def test_a_new_column_stops_every_masked_copy_until_it_is_listed(
    snap: CommandLine, database: Database
) -> None:
    snap.use_tools_of(database.cluster)
    database.psql("CREATE TABLE t (id int PRIMARY KEY, mail text); INSERT INTO t VALUES (1, 'a@b')")
    snap.setenv("DATABASE_URL", database.dsn)
    snap.ok("init")
    snap.ok("commit", "-m", "first")
    snap.ok("mask", "init", "latest")
    name = f"{database.name}__snap_dev"
    database.psql("ALTER TABLE t ADD phone text; UPDATE t SET phone = '123'")
    snap.ok("commit", "-m", "second")
    words = ("restore", "latest", "--to", name, "--mask", "masks.toml", "--yes")
    found = snap(*words)
    assert (found.code, "not listed of public.t: phone text" in found.err) == (40, True)
    assert snap("mask", "check", "latest").code == 4
    with (snap.work / "masks.toml").open("a") as file:
        file.write('phone = { fake = "phone" }\n')
    # Where the load fails, there is no new database, and no value in the error.
    database.psql("ALTER TABLE t ADD CHECK (phone !~ '^[+]')")
    snap.ok("commit", "-m", "third")
    failed = snap(*words)
    assert failed.code == 40
    assert "CHECK constraint t_phone_check of public.t is about phone" in failed.err
    assert "Look at what masks.toml says of the columns" in failed.err
    assert database.psql(f"SELECT count(*) FROM pg_database WHERE datname = '{name}'").strip() == (
        "0"
    )
    found = snap(*("restore", "latest~1", *words[2:]))
    assert found.code == 0, found.err
    made = Database(database.cluster, name)
    assert made.psql("SELECT mail LIKE '%@example.%', phone LIKE '+999%' FROM t").strip() == "t|t"


DEFINED = """
CREATE TYPE grade AS ENUM ('Ann', 'Bob');
CREATE TABLE p (id int PRIMARY KEY, mail text DEFAULT 'me@x' CHECK (mail <> 'bad@x'), g grade,
  "Odd" text);
ALTER TABLE p ADD CHECK (mail <> 'w@x') NOT VALID;
COMMENT ON COLUMN p."Odd" IS 'as of Ann';
COMMENT ON COLUMN p.id IS 'id';
INSERT INTO p VALUES (1, 'a@x', 'Ann', 'o'), (2, 'b', 'Bob', 'p');
CREATE VIEW v AS SELECT id FROM p WHERE mail = 'ann@x';
CREATE VIEW v2 AS SELECT id FROM p WHERE mail > g::text;
CREATE FUNCTION f() RETURNS bigint LANGUAGE sql AS $$SELECT count(*) FROM p WHERE mail = 'x'$$;
CREATE FUNCTION f2() RETURNS bigint LANGUAGE sql AS $$SELECT count(mail) FROM p$$;
CREATE FUNCTION f3() RETURNS bigint LANGUAGE sql
  BEGIN ATOMIC SELECT count(*) FROM p WHERE mail = 'ann@x'; END;
CREATE FUNCTION f4(mail text DEFAULT 'ann@x') RETURNS bigint LANGUAGE sql AS $$SELECT 1$$;
CREATE FUNCTION f5() RETURNS bigint LANGUAGE sql SET search_path = 'public', 'b'
  AS $$SELECT count(mail) FROM p$$;
CREATE DOMAIN tone AS text CHECK (VALUE <> 'Ann');
CREATE TYPE kind AS (id int, doc jsonb);
CREATE TABLE typed OF kind;
INSERT INTO typed VALUES (1, '{"mail": "ann@x"}');
ALTER TABLE p ADD t tone, ADD low text GENERATED ALWAYS AS (mail || 'Ann') STORED,
  ADD EXCLUDE (id WITH =) WHERE (mail = 'ann@x');
CREATE INDEX pi ON p (id) WHERE mail = 'x';
CREATE POLICY pol ON p USING (mail = 'me');
CREATE TABLE l (name text, n int) PARTITION BY LIST (name);
CREATE TABLE l_ann PARTITION OF l FOR VALUES IN ('ann');
CREATE TABLE l_others PARTITION OF l DEFAULT;
CREATE TABLE r (name text, n int) PARTITION BY RANGE (name);
CREATE TABLE r_a PARTITION OF r FOR VALUES FROM ('a') TO ('m');
INSERT INTO l VALUES ('ann', 1);
INSERT INTO r VALUES ('ann', 1);
SELECT lo_from_bytea(0, 'x');
"""
DEFINED_MASKS = """
key_file = "masks.key"
tables.p = { id = "keep", mail = "hash", g = "null", Odd = "hash", t = "null" }
tables.typed = { id = "keep", doc = { json = { mail = "hash" } } }
tables.r = { name = "hash", n = "keep" }
tables.l = { n = "keep", name = "hash" }
"""
SAID = (
    "name of public.r is masked, and the bounds of its partitions stay as they are: public.r_a",
    "the labels of the enums of masked columns stay: public.grade (g of public.p)",
    "defaults of masked columns stay as they are: mail of public.p",
    "CHECK constraints with texts about masked columns stay: mail of public.p",
    "generated columns with texts about masked columns stay: mail of public.p",
    "domains of masked columns hold texts, which stay: public.tone (t of public.p)",
    "functions that name masked columns hold texts, which stay: public.f(), public.f3(), "
    "public.f4(text)",
    "views that name masked columns hold texts, which stay: public.v",
    "exclusion constraints that name masked columns hold texts, which stay: public.p p_id_excl",
    "indexes that name masked columns hold texts, which stay: public.pi",
    "policies that name masked columns hold texts, which stay: public.p pol",
    "publications that name masked columns hold texts, which stay: pub public.p",
    'comments on masked columns stay as they are: p."Odd"',
    "large objects are left out",
)


def test_definitions_that_hold_values_of_masked_columns_are_named_or_refused(
    snap: CommandLine, database: Database
) -> None:
    snap.use_tools_of(database.cluster)
    database.psql(DEFINED)
    has_filters = database.cluster.major >= 15
    if has_filters:
        database.psql("CREATE PUBLICATION pub FOR TABLE p WHERE (mail <> 'ann@x')")
    snap.setenv("DATABASE_URL", database.dsn)
    snap.ok("init")
    snap.ok("commit", "-m", "first")
    key = snap.work / "masks.key"
    key.touch(mode=0o600)
    key.write_text("x" * 32)
    (snap.work / "masks.toml").write_text(DEFINED_MASKS)
    refused = snap("mask", "check", "latest")
    message = "masked values of name of public.l are in the bounds of partitions:"
    assert (refused.code, f"{message} public.l_ann" in refused.err) == (4, True), refused.err
    (snap.work / "masks.toml").write_text(
        DEFINED_MASKS.replace('n = "keep", name = "hash"', 'n = "keep", name = "keep"')
    )
    refused = snap("mask", "check", "latest")
    message = "the labels of enums: public.grade (g of public.p)"
    assert (refused.code, message in refused.err) == (4, True), refused.err
    accepted = re.search(r"masks.toml: (visible_labels = .*)", refused.err)
    assert accepted is not None
    text = (snap.work / "masks.toml").read_text()
    (snap.work / "masks.toml").write_text(accepted[1] + "\n" + text)
    said = snap.ok("mask", "check", "latest", "--json").json["warnings"]
    expected = [words for words in SAID if has_filters or not words.startswith("publications")]
    assert [words for words in said if words in SAID] == expected, said
    assert '{"mail": "ann@x"}' not in snap.ok("cat", "latest", "--mask", "masks.toml").out
