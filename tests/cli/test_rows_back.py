"""Single rows of a snapshot go back into the live table."""

from __future__ import annotations

import pytest

from support.documents import documentation
from support.running.commandline import CommandLine
from support.servers.databases import Database

SHOP = """
CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL);
CREATE TABLE orders (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer int REFERENCES customers, code text UNIQUE, amount numeric(10, 2), note text,
    doubled numeric GENERATED ALWAYS AS (amount * 2) STORED);
CREATE TABLE lines (orders int REFERENCES orders ON DELETE CASCADE, n int);
INSERT INTO customers SELECT g, 'customer ' || g FROM generate_series(1, 9) g;
INSERT INTO orders (customer, code, amount, note)
    SELECT 1 + g % 9, 'code ' || g, g, E'tab\\there ' || g FROM generate_series(1, 1000) g;
INSERT INTO lines SELECT g, g FROM generate_series(1, 5) g;
"""
ORDERS = "SELECT md5(string_agg(o::text, E'\\n' ORDER BY id)) FROM orders o"


@pytest.fixture
def shop(snap: CommandLine, database: Database) -> CommandLine:
    """A committed database, in which rows were changed since."""
    database.psql(SHOP)
    snap.use_tools_of(database.cluster)
    snap.setenv("DATABASE_URL", database.dsn)
    snap.ok("init")
    snap.ok("commit", "-m", "first", "--tag", "one")
    return snap


def test_chosen_rows_go_back_and_undo_puts_back_what_was_there(
    shop: CommandLine, database: Database
) -> None:
    before = database.psql(ORDERS)
    database.psql(
        "ALTER TABLE orders ADD COLUMN later int DEFAULT 7;"
        " UPDATE orders SET amount = 0, note = NULL WHERE id IN (11, 12, 900);"
        " DELETE FROM orders WHERE id IN (13, 14);"
        " INSERT INTO orders (customer, code, amount) VALUES (1, 'new', 3), (2, 'newer', 4)"
    )
    changed = database.psql(ORDERS)
    chosen = ("restore", "one", "--table", "orders", "--rows", "id between 10 and 14 or id > 999")
    # Shown, and nothing is changed: as a dry run, and where nobody can be asked.
    plan = shop.ok(*chosen, "--dry-run").out
    for words in (
        "public.orders: 2 added, 2 changed, 2 as in the snapshot already",
        "2 rows that the snapshot does not have (--delete)",
        "Locks:", "public.orders against writes",
        "the snapshot has no column later",
        r"~ id=11: amount: 0.00 -> 11.00, note: NULL -> 'tab\there 11'",
        r"+ id=13, customer=5, code='code 13', amount=13.00, note='tab\there 13'",
    ):  # fmt: skip
        assert words in plan, plan
    assert shop(*chosen).code == 5
    for more in ([], ["--replace", "--cascade-check"], ["--to", "copy"]):
        other = shop.ok("restore", "one", "--table", "orders", *more, "--dry-run", "--json").json
        assert documentation.field_names(other) == documentation.fields(
            documentation.section("snap restore")
        )[6]  # fmt: skip
        assert (other["dry_run"], other["replaces"]) == (True, "--replace" in more)
    assert "Replaces:" in shop.ok("restore", "one", "--dry-run").out
    planned = shop.ok(*chosen, "--dry-run", "--delete", "--json").json
    assert (planned["dry_run"], planned["safety_snapshot"], planned["deleted"]) == (True, None, 2)
    assert database.psql(ORDERS) == changed
    done = shop.ok(*chosen, "--delete", "--yes", "--json").json
    counts = ("added", "changed", "deleted", "same", "not_in_snapshot")
    assert [done[name] for name in counts] == [2, 2, 2, 2, 0]
    assert [row["change"] for row in done["rows"]] == ["changed", "changed", "added", "added",
                                                       "deleted", "deleted"]  # fmt: skip
    assert done["columns"] == ["id", "customer", "code", "amount", "note"]
    assert done["rows"][0]["before"] == ["11", "3", "code 11", "0.00", None]
    assert done["rows"][2]["before"] is None
    assert done["rows"][5]["after"] is None
    assert documentation.field_names(done) == documentation.fields(
        documentation.section("snap restore")
    )[5]  # fmt: skip
    assert database.psql(
        "SELECT id, later, doubled FROM orders WHERE id IN (11, 13) ORDER BY 1"
    ) == ("11|7|22.00\n13|7|26.00")
    assert database.psql("SELECT id FROM orders WHERE note IS NULL") == "900"
    database.psql("ALTER TABLE orders DROP COLUMN later")
    # One row by its key, and one that is as it was already.
    one = shop.ok("restore", "one", "--table", "public.orders", "--row", "900", "--row", "901",
                  "--yes").out  # fmt: skip
    assert "restored rows of public.orders" in one
    assert "1 changed, 1 as in the snapshot already" in one
    assert database.psql(ORDERS) == before
    assert "Differ:" in shop.ok("restore", "one", "--changed-only", "--dry-run").out
    again = shop.ok("restore", "one", "--table", "orders", "--row", "900", "--yes", "--json").json
    assert (again["same"], again["safety_snapshot"]) == (1, None)
    # What was done last is undone first; the next undo takes the undo back.
    undone = shop.ok("undo", "--yes", "--json").json
    assert (undone["changed"], undone["undoes"]["kind"]) == (1, "rows")
    assert database.psql("SELECT amount FROM orders WHERE id = 900") == "0.00"
    told = shop.ok("undo", "--yes")
    assert "the undo of 1 row of public.orders" in " ".join(told.err.split())
    assert database.psql(ORDERS) == before
    # The newest snapshot is now what the undo recorded first.
    latest = shop.ok("restore", "latest", "--table", "orders", "--row", "900", "--dry-run")
    assert f"the newest other one is {shop.ok('show', 'one', '--json').json['id'][:12]}" in (
        " ".join(latest.err.split())
    )


def test_an_undo_deletes_what_was_added_and_adds_what_was_deleted(
    shop: CommandLine, database: Database
) -> None:
    database.psql(
        "CREATE TABLE pairs (a text, b int, v text, PRIMARY KEY (a, b));"
        "INSERT INTO pairs VALUES ('x', 1, '1'), (E'\\\\\\t', 2, '2'), ('', 3, '3')"
    )
    shop.ok("commit", "--tag", "two")
    database.psql("DELETE FROM pairs WHERE b > 1; INSERT INTO pairs VALUES ('new', 5, '5')")
    rows = "SELECT a, b, v FROM pairs ORDER BY b"
    changed = database.psql(rows)
    shop.ok("restore", "two", "--table", "pairs", "--rows", "b > 0", "--delete", "--yes")
    assert database.psql(rows) == "x|1|1\n\\\t|2|2\n|3|3"
    shop.ok("undo", "--yes")
    assert database.psql(rows) == changed
    named = shop.ok("restore", "two", "--table", "pairs", "--row", "b=2,a=\\\t", "--row", ",3",
                    "--yes", "--json").json  # fmt: skip
    assert (named["added"], named["key"]) == (2, ["a", "b"])
    error = shop("restore", "two", "--table", "pairs", "--row", "x", "--json").error
    assert "2 values" in error["message"]
    assert "a=VALUE,b=VALUE" in error["hint"]


def test_a_condition_only_reads_and_is_one_expression(
    shop: CommandLine, database: Database
) -> None:
    database.psql(
        "CREATE FUNCTION wipe() RETURNS bool LANGUAGE plpgsql AS"
        " $$BEGIN DELETE FROM customers; RETURN true; END$$; UPDATE orders SET amount = 1"
    )
    for condition, words in (
        ("id = 1); delete from customers; --", "closed in it that was not opened"),
        ("id = 1; delete from customers", "semicolon"),
        ("wipe()", "read-only transaction"),
        ("nextval('orders_id_seq') > 0", "read-only transaction"),
        ("idd = 1", 'column "idd" does not exist'),
        ("note", "must be type boolean"),
        (" ", "it is empty"),
    ):
        failed = shop("restore", "one", "--table", "orders", "--rows", condition, "--yes", "--json")
        assert (failed.code, words in failed.error["message"]) == (2, True), failed.error
    assert database.psql("SELECT count(*) FROM customers") == "9"
    # It sees the search path and the live tables, as in psql, and the table by its name.
    chosen = "orders.customer in (select id from customers where name = 'customer 2') -- these"
    done = shop.ok("restore", "one", "--table", "orders", "--rows", chosen, "--yes", "--json")
    assert done.json["changed"] == 111
    for arguments, words in (
        (["--rows", "true", "--row", "1"], "both choose rows"),
        (["--delete"], "is about single rows"),
        (["--rows", "true", "--replace"], "--replace has no use"),
        (["--rows", "true", "--to", "x"], "--to has no use"),
        (["--rows", "true", "--table", "lines"], "of one table"),
        (["--row", "x"], "that is no key of public.orders: invalid input syntax"),
    ):
        failed = shop("restore", "one", "--table", "orders", *arguments, "--json")
        assert (failed.code, words in failed.error["message"]) == (2, True), failed.error


# What makes it unsound, the rows, and the refusal.
UNSOUND = [
    (
        "DELETE FROM orders WHERE id > 5; DELETE FROM customers WHERE id = 9",
        "id = 8",
        "violates foreign key constraint",
    ),
    (
        "INSERT INTO orders (customer, code) VALUES (1, 'new');"
        " INSERT INTO lines SELECT max(id) FROM orders",
        "code = 'new'",
        "1 row of public.lines would lose what it refers to, by lines_orders_fkey",
    ),
    (
        "DELETE FROM orders WHERE id = 11; UPDATE orders SET code = 'code 11' WHERE id = 12",
        "id = 11",
        "duplicate key value violates unique constraint",
    ),
    (
        "ALTER TABLE orders ADD CONSTRAINT c CHECK (amount > 500) NOT VALID;"
        " DELETE FROM orders WHERE id = 11",
        "id = 11",
        "violates check constraint",
    ),
    (
        "UPDATE orders SET amount = 1; CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN RETURN NULL; END'; CREATE TRIGGER watched BEFORE UPDATE ON orders FOR EACH ROW"
        " EXECUTE FUNCTION f()",
        "id = 11",
        "the trigger watched of public.orders would act",
    ),
    (
        "UPDATE orders SET amount = 1; CREATE RULE quiet AS ON UPDATE TO orders DO INSTEAD NOTHING",
        "id = 11",
        "the rule quiet of public.orders would act",
    ),
    (
        "ALTER TABLE orders ALTER note TYPE varchar(100)",
        "id = 11",
        "note (character varying(100))",
    ),
    ("ALTER TABLE orders DROP COLUMN note", "id = 11", "no column note any more"),
    (
        "ALTER TABLE lines DROP CONSTRAINT lines_orders_fkey;"
        " ALTER TABLE orders DROP CONSTRAINT orders_pkey",
        "id = 11",
        "has no primary key",
    ),
    ("DROP TABLE lines, orders", "id = 11", "has no table public.orders any more"),
]


def test_what_makes_it_unsound_is_refused_with_the_reason(
    shop: CommandLine, database: Database
) -> None:
    for since, rows, words in UNSOUND:
        database.psql("DROP TABLE IF EXISTS lines, orders, customers; DROP FUNCTION IF EXISTS f")
        database.psql(SHOP)
        database.psql(since)
        was = database.psql("SELECT to_regclass('orders')") and database.psql(ORDERS)
        failed = shop("restore", "one", "--table", "orders", "--rows", rows, "--delete", "--yes",
                      "--json")  # fmt: skip
        assert (failed.code, words in failed.error["message"]) == (40, True), failed.error
        assert failed.error["hint"]
        assert (database.psql("SELECT to_regclass('orders')") and database.psql(ORDERS)) == was
