"""What a replacement makes again is tried in the plan: what cannot be is a refusal, and nothing was
loaded for it."""

from __future__ import annotations

import pytest

from pgsnap.errors import TargetRefused
from pgsnap.repository.repository import Repository
from support.restoring.clients import (
    commit_database,
    plan_of_tables,
    server_of,
    tables_now,
)
from support.servers.databases import Database

# What there is, what becomes of it after the snapshot, and the words that refuse to replace a.
NOT_AGAIN = {
    "a view of a column that is newer": (
        "CREATE TABLE a (id int, v int)",
        "ALTER TABLE a ADD late int; CREATE VIEW va AS SELECT id, late FROM a",
        ("the view public.va cannot be made again", "late"),
    ),
    "a view of a column of another type": (
        "CREATE TABLE a (id int, v int)",
        "ALTER TABLE a ALTER v TYPE bigint; CREATE VIEW va AS SELECT v FROM a",
        ("the view public.va cannot be made again", "bigint"),
    ),
    "a key to a column without its index": (
        "CREATE TABLE a (id int PRIMARY KEY, u int)",
        "ALTER TABLE a ADD UNIQUE (u); CREATE TABLE b (au int CONSTRAINT to_a REFERENCES a (u))",
        ("the foreign key to_a of public.b cannot be made again", "unique constraint"),
    ),
    "a key to a table that is gone": (
        "CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE a (id int REFERENCES p)",
        "ALTER TABLE a DROP CONSTRAINT a_id_fkey; DROP TABLE p",
        (
            "refers to public.p cannot be made again",
            '"public.p" does not exist',
            "--table public.p",
        ),
    ),
    "a key whose index is gone": (
        "CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE a (id int REFERENCES p)",
        "ALTER TABLE p DROP CONSTRAINT p_pkey CASCADE",
        ("refers to public.p cannot be made again", "public.p", "--table public.p"),
    ),
    "the same, where the table itself was dropped": (
        "CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE a (id int REFERENCES p)",
        "DROP TABLE a, p",
        ("refers to public.p cannot be made again", '"public.p" does not exist'),
    ),
}
AGAIN = """
CREATE SCHEMA "od.d";
CREATE TABLE "od.d"."a ""b" (id serial PRIMARY KEY, v text COLLATE "C", n int);
INSERT INTO "od.d"."a ""b" (v, n) VALUES ('x', 1), ('y', 2);
CREATE VIEW plain AS SELECT * FROM "od.d"."a ""b";
CREATE VIEW grouped AS SELECT id, v FROM "od.d"."a ""b" GROUP BY id, v;
CREATE VIEW above WITH (security_barrier) AS SELECT id, v FROM "od.d"."a ""b" WHERE n > 0
    WITH LOCAL CHECK OPTION;
CREATE RECURSIVE VIEW counted (n) AS SELECT 1 UNION ALL SELECT c.n + 1 FROM counted c,
    "od.d"."a ""b" b WHERE c.n = b.n;
CREATE VIEW next_one AS SELECT nextval('"od.d"."a ""b_id_seq"');
CREATE TABLE refers (a int CONSTRAINT "to a" REFERENCES "od.d"."a ""b" ON DELETE SET NULL,
    k int) PARTITION BY LIST (k);
CREATE TABLE refers_1 PARTITION OF refers FOR VALUES IN (1); INSERT INTO refers VALUES (1, 1);
CREATE TABLE own (id int PRIMARY KEY REFERENCES own, k int REFERENCES "od.d"."a ""b");
INSERT INTO own VALUES (1, 2);
COMMENT ON CONSTRAINT "to a" ON refers IS 'it''s kept'; COMMENT ON VIEW grouped IS 'kept, too';
"""


@pytest.mark.parametrize("kind", NOT_AGAIN)
def test_what_cannot_be_made_again_is_refused_by_the_plan(
    repo: Repository, database: Database, kind: str
) -> None:
    before, after, words = NOT_AGAIN[kind]
    database.psql(before)
    snapshot = commit_database(repo, server_of(database))
    database.psql(after)
    dump = database.dump()
    plan = plan_of_tables(repo, snapshot, server_of(database), "a", replace=True, check_keys=True)
    with pytest.raises(TargetRefused) as refused:
        plan.check()
    said = f"{refused.value.message} {refused.value.hint}"
    assert [word for word in words if word not in said] == []
    assert database.dump() == dump


def test_what_fits_is_made_again(repo: Repository, database: Database) -> None:
    database.psql(AGAIN)
    snapshot = commit_database(repo, server_of(database))
    before = database.dump()
    for names in (['"od.d"."a ""b"'], ["own"], ["own", '"od.d"."a ""b"']):
        tables_now(repo, snapshot, server_of(database), *names, replace=True, check_keys=True)
        for line in database.psql(
            "SELECT format('DROP TABLE %s;', oid::regclass) FROM pg_class"
            " WHERE relkind = 'r' AND relname ~ '__replaced_[0-9_]+$'"
        ).splitlines():
            database.psql(line)
        assert database.dump() == before
