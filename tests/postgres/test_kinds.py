"""Databases of kinds that dumps, restores and table restores trip over, each taken the whole way
from the command line: every command does all of its work, or refuses with the reason and changes
nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pgsnap.cluster.cluster import Cluster
from support.running.commandline import CommandLine
from support.servers.databases import Database, is_volatile, new_name

MADE = ""
GONE = "was_here"
QUIET = "SET session_replication_role = replica;"


@dataclass(frozen=True)
class Kind:
    """How a database of this kind is made, in one whose *roles* are there already.

    *tables*: of each table that is asked for, the words with which its restore beside the live one
    and in its place is refused, MADE where it is not. *whole*: a pattern of those with which all
    restores of the database are. *moves*: rows may come back in another partition, *told*: a
    restore of a table changes others, which its plan says.
    """

    sql: str
    roles: tuple[str, ...] = ()
    tables: dict[str, tuple[str, str]] = field(default_factory=dict)
    whole: str = MADE
    moves: bool = False
    told: str = ""


KINDS = {
    "a trigger on one table names another": Kind(
        "CREATE TABLE payer (n int); CREATE TABLE paid (n int); INSERT INTO paid VALUES (7);"
        "CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
        "CREATE CONSTRAINT TRIGGER seen AFTER UPDATE ON payer FROM paid NOT DEFERRABLE"
        " FOR EACH ROW EXECUTE FUNCTION watch()",
        tables={"payer": (MADE, MADE), "paid": (MADE, "would go on using the replaced table")},
    ),
    "an index and a trigger that go with an extension": Kind(
        "CREATE EXTENSION citext; CREATE TABLE went (a int, b int); INSERT INTO went VALUES (1, 2);"
        "CREATE FUNCTION same() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';"
        "CREATE TRIGGER each BEFORE INSERT ON went FOR EACH ROW EXECUTE FUNCTION same();"
        "CREATE INDEX went_a ON went (a); ALTER INDEX went_a DEPENDS ON EXTENSION citext;"
        "ALTER TRIGGER each ON went DEPENDS ON EXTENSION citext",
        tables={"went": (MADE, MADE)},
    ),
    "a reader that default privileges let in again": Kind(
        "GRANT USAGE ON SCHEMA public TO kinds_reader;"
        "ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO kinds_reader WITH GRANT OPTION;"
        "ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO kinds_reader;"
        "CREATE TABLE salary (id serial, sum int, who text); INSERT INTO salary(sum) VALUES (9);"
        "REVOKE ALL ON salary, salary_id_seq FROM kinds_reader; GRANT SELECT (who) ON salary"
        " TO kinds_reader; GRANT UPDATE (sum) ON salary TO PUBLIC;"
        "ALTER TABLE salary ENABLE ROW LEVEL SECURITY; ALTER TABLE salary FORCE ROW LEVEL SECURITY;"
        "CREATE POLICY own ON salary AS RESTRICTIVE FOR ALL TO kinds_reader USING (who = user)"
        " WITH CHECK (sum < 10); COMMENT ON POLICY own ON salary IS 'own rows'",
        roles=("kinds_reader",),
        tables={"salary": (MADE, MADE)},
    ),
    "rights that another than the owner gave": Kind(
        "CREATE TABLE note (n int); INSERT INTO note VALUES (1); ALTER TABLE note OWNER TO"
        " kinds_owner; GRANT USAGE ON SCHEMA public TO kinds_middle, kinds_reader;"
        "GRANT SELECT, INSERT (n) ON note TO kinds_middle WITH GRANT OPTION;"
        "SET SESSION AUTHORIZATION kinds_middle; GRANT SELECT, INSERT (n) ON note TO kinds_reader;",
        roles=("kinds_owner", "kinds_middle", "kinds_reader"),
        tables={"note": (MADE, MADE)},
    ),
    "rows placed by the hash of an enum": Kind(
        "CREATE TYPE tier AS ENUM ('c', 'a', 'b'); CREATE TABLE by_tier (k tier, n int)"
        " PARTITION BY HASH (k);"
        "CREATE TABLE tier_0 PARTITION OF by_tier FOR VALUES WITH (MODULUS 2, REMAINDER 0);"
        "CREATE TABLE tier_1 PARTITION OF by_tier FOR VALUES WITH (MODULUS 2, REMAINDER 1);"
        "INSERT INTO by_tier SELECT (enum_range(NULL::tier))[1 + i % 3], i"
        " FROM generate_series(1, 60) i",
        tables={"by_tier": (MADE, MADE), "tier_1": (MADE, "is a partition")},
        moves=True,
    ),
    "an event trigger that writes down what is made": Kind(
        "CREATE TABLE made (n serial, tag text); CREATE TABLE plain (n int PRIMARY KEY);"
        "INSERT INTO plain VALUES (3); CREATE MATERIALIZED VIEW seen AS SELECT * FROM plain;"
        "CREATE FUNCTION note() RETURNS event_trigger LANGUAGE plpgsql AS"
        " 'BEGIN INSERT INTO public.made(tag) VALUES (tg_tag); END';"
        "CREATE EVENT TRIGGER noted ON ddl_command_end EXECUTE FUNCTION note()",
        tables={"plain": (MADE, "would go on using the replaced table")},
        told="event triggers of the database run",
    ),
    "an event trigger that allows nothing": Kind(
        "CREATE TABLE still (n int); INSERT INTO still VALUES (3);"
        "CREATE MATERIALIZED VIEW seen AS SELECT * FROM still;"
        "CREATE FUNCTION stop() RETURNS event_trigger LANGUAGE plpgsql AS"
        " $$BEGIN RAISE EXCEPTION 'closed for today'; END$$;"
        "CREATE EVENT TRIGGER stopped ON ddl_command_start EXECUTE FUNCTION stop()",
        tables={"still": ("closed for today", "closed for today")},
    ),
    "a generated column that draws numbers": Kind(
        "CREATE SEQUENCE zz; CREATE FUNCTION draw() RETURNS text LANGUAGE sql IMMUTABLE AS"
        " $$SELECT 'x' || nextval('public.zz'::regclass)$$;"
        "CREATE TABLE drawn (n int, no text GENERATED ALWAYS AS (public.draw()) STORED);"
        "INSERT INTO drawn VALUES (1)",
        tables={"drawn": ("draws from a sequence", "draws from a sequence")},
        whole='relation "public.zz" does not exist|draw the number',
    ),
    "an unlogged table, whose sequences are unlogged from 15 on": Kind(
        "CREATE UNLOGGED TABLE fast (n serial PRIMARY KEY, i int GENERATED ALWAYS AS IDENTITY);"
        "INSERT INTO fast DEFAULT VALUES",
        tables={"fast": (MADE, MADE)},
    ),
    "an identity wider than its column": Kind(
        "CREATE TABLE rare (n int GENERATED BY DEFAULT AS IDENTITY, v text);"
        "ALTER SEQUENCE rare_n_seq AS bigint MAXVALUE 88888888888; INSERT INTO rare(v) VALUES ('')",
        tables={"rare": (MADE, MADE)},
    ),
    "a trigger that is off two levels down": Kind(
        "CREATE SCHEMA old; CREATE TABLE tree (a int, b int) PARTITION BY LIST (a);"
        "CREATE TABLE branch PARTITION OF tree FOR VALUES IN (1) PARTITION BY LIST (b);"
        "CREATE TABLE old.leaf PARTITION OF branch FOR VALUES IN (1);"
        "INSERT INTO tree VALUES (1, 1);"
        "CREATE FUNCTION pass() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';"
        "CREATE TRIGGER passes BEFORE INSERT ON tree FOR EACH ROW EXECUTE FUNCTION pass();"
        "ALTER TABLE old.leaf DISABLE TRIGGER passes",
        tables={"tree": (MADE, MADE), "old.leaf": (MADE, "is a partition")},
    ),
    "views, functions and checks in a circle": Kind(
        "CREATE TABLE base (n int PRIMARY KEY, w int); CREATE VIEW own AS SELECT n, w FROM base;"
        "CREATE FUNCTION of_row(own) RETURNS int LANGUAGE sql STABLE AS 'SELECT ($1).n';"
        "CREATE OR REPLACE VIEW own AS SELECT n, w, 0 AS more FROM base;"
        "CREATE VIEW over AS SELECT of_row(o) FROM own o;"
        "CREATE FUNCTION fits(base) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT ($1).n > 0';"
        "ALTER TABLE base ADD CHECK (fits(base.*)); INSERT INTO base VALUES (1, 2)",
        tables={"base": ("own row type", "own row type")},
    ),
    "foreign tables below others": Kind(
        "CREATE FOREIGN DATA WRAPPER mute; CREATE SERVER far FOREIGN DATA WRAPPER mute;"
        "CREATE TABLE mixed (n int) PARTITION BY LIST (n);"
        "CREATE TABLE near PARTITION OF mixed FOR VALUES IN (1); INSERT INTO mixed VALUES (1);"
        "CREATE FOREIGN TABLE away PARTITION OF mixed FOR VALUES IN (2) SERVER far",
        tables={"mixed": ("is a foreign table", "is a foreign table"), "near": (MADE, "partition")},
    ),
    "tables that refer to each other, with keys that do not hold": Kind(
        "CREATE TABLE hen (n int PRIMARY KEY, e int); CREATE TABLE egg (n int PRIMARY KEY, h int"
        " REFERENCES hen DEFERRABLE); ALTER TABLE hen ADD FOREIGN KEY (e) REFERENCES egg NOT VALID;"
        f"{QUIET} INSERT INTO hen VALUES (1, 99); INSERT INTO egg VALUES (1, 1)",
        tables={"hen": (MADE, "foreign key"), "egg": (MADE, "foreign key")},
    ),
    "names and rows that look like something else": Kind(
        'CREATE SCHEMA "a.b"; CREATE TABLE "a.b"."it\'s ""x""" ("se lect" text DEFAULT E\'\\\\.\','
        ' "1" int GENERATED ALWAYS AS (length("se lect")) STORED);'
        'INSERT INTO "a.b"."it\'s ""x""" VALUES (E\'\\\\.\'), (E\'\\n\\\\.\\n\'), (NULL);'
        'COMMENT ON TABLE "a.b"."it\'s ""x""" IS'
        " E'\\n\\\\connect postgres\\n-- Name: y; Type: TABLE';"
        "CREATE TABLE no_columns (); INSERT INTO no_columns DEFAULT VALUES;"
        "SELECT lo_from_bytea(4712, 'large'); ALTER LARGE OBJECT 4712 OWNER TO kinds_owner",
        roles=("kinds_owner",),
        tables={'"a.b"."it\'s ""x"""': (MADE, MADE), "no_columns": (MADE, MADE)},
    ),
    "settings that change how everything reads": Kind(
        "DO $$DECLARE s text; BEGIN FOREACH s IN ARRAY ARRAY['search_path = nowhere',"
        " 'DateStyle = ''SQL, DMY''', 'row_security = off', 'statement_timeout = ''9min''',"
        " 'bytea_output = ''escape''', 'default_transaction_isolation = ''serializable''']"
        " LOOP EXECUTE format('ALTER DATABASE %I SET %s', current_database(), s); END LOOP; END$$;"
        "CREATE TABLE day (d date DEFAULT '2020-02-01', b bytea); INSERT INTO day VALUES"
        " ('2024-02-03', '\\x00ff')",
        tables={"public.day": (MADE, MADE)},
    ),
}


@pytest.fixture
def snap(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    cluster: Cluster,
) -> CommandLine:
    made = CommandLine(tmp_path, monkeypatch, capfd)
    made.use_tools_of(cluster)
    return made


@pytest.fixture(scope="module")
def _roles(cluster: Cluster) -> Iterator[None]:
    """The roles of all kinds."""
    names = sorted({name for kind in KINDS.values() for name in kind.roles})
    cluster.psql("".join(f"CREATE ROLE {name};" for name in names))
    yield
    cluster.psql("".join(f"DROP ROLE {name};" for name in names))


class Journey:
    """One database of a kind, with a snapshot of it."""

    def __init__(self, snap: CommandLine, database: Database, kind: Kind) -> None:
        self.snap, self.database, self.kind = snap, database, kind
        database.psql(kind.sql)
        self.before = database.dump()
        snap.setenv("DATABASE_URL", database.dsn)
        snap.ok("init")
        snap.ok("commit", "-m", "as it was", "--tag", "good")

    def same(self, dump: bytes, other: bytes) -> bool:
        if self.kind.moves:
            return sorted(dump.splitlines()) == sorted(other.splitlines())
        return dump == other

    def databases(self) -> list[str]:
        found = self.database.cluster.psql("SELECT datname FROM pg_database ORDER BY 1")
        return found.splitlines()

    def does(self, *command: str) -> bool:
        """Run a command that restores all; tell whether it did and not refused, as it should."""
        result = self.snap(*command)
        if self.kind.whole == MADE:
            assert result.code == 0, result.err
            return True
        assert result.code in (40, 65), result.err
        assert re.search(self.kind.whole, result.err + result.out)
        return False

    def restore_all(self) -> None:
        """In place and back, in a new database, and in a drill."""
        there, copy = self.databases(), Database(self.database.cluster, new_name("copy"))
        assert self.without(self.snap.ok("cat", "good").out.encode()) == self.before
        self.snap.ok("diff", "good", "--exit-code")
        self.does("drill", "good", "--report", str(self.snap.folder / "report.json"))
        if self.does("restore", "good", "--to", copy.name, "--yes"):
            assert self.same(copy.dump(), self.before)
            copy.cluster.drop_database(copy.name)
        assert self.databases() == there
        self.database.psql(f"{QUIET} CREATE TABLE public.{GONE} (n int)")
        changed = self.database.dump()
        if not self.does("restore", "good", "--yes"):
            assert self.database.dump() == changed
            self.database.psql(f"{QUIET} DROP TABLE public.{GONE}")
            return
        assert self.same(self.database.dump(), self.before)
        self.snap.ok("undo", "--yes", "--no-safety-snapshot")
        assert self.database.dump() == changed
        self.snap.ok("undo", "--yes", "--no-safety-snapshot")
        assert self.same(self.database.dump(), self.before)
        self.snap.ok("undo", "--discard", "--yes")
        assert self.databases() == there

    def restore_tables(self) -> None:
        for table, (beside, instead) in self.kind.tables.items():
            self.restore_table(beside, table)
            self.restore_table(instead, table, "--replace", "--no-safety-snapshot")

    def restore_table(self, refusal: str, table: str, *options: str) -> None:
        """The table is made as it was, and all else is as it is; or it is refused."""
        before = self.database.dump()
        result = self.snap("restore", "good", "--table", table, "--yes", *options)
        said = result.out + result.err
        if refusal:
            assert (result.code, refusal in said) == (40, True), said
        else:
            assert result.code == 0, said
            assert self.kind.told in said
            count = f"SELECT count(*) FROM pg_class WHERE relname ~ '{_EXTRA}' AND relkind <> 'i'"
            assert self.database.psql(count).strip() != "0"
            self.database.psql(f"{QUIET} {self.drops()}")
        if not self.kind.told:
            assert self.same(self.database.dump(), before)

    def drops(self) -> str:
        """Return what drops the tables that table restores made or set aside."""
        return self.database.psql(
            "SELECT format('DROP TABLE %s;', oid::regclass) FROM pg_class"
            f" WHERE relkind IN ('r', 'p') AND relname ~ '{_EXTRA}' AND NOT relispartition"
        )

    @staticmethod
    def without(dump: bytes) -> bytes:
        lines = dump.splitlines(keepends=True)
        return b"".join(line for line in lines if not is_volatile(line))


_EXTRA = "__(good|replaced_[0-9_]+)$"


@pytest.mark.usefixtures("_roles")
@pytest.mark.parametrize("name", KINDS)
def test_every_command_does_its_work_or_refuses_and_changes_nothing(
    snap: CommandLine, database: Database, name: str
) -> None:
    journey = Journey(snap, database, KINDS[name])
    journey.restore_all()
    journey.restore_tables()
    snap.ok("verify", "--data")
