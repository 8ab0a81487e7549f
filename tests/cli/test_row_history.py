"""`snap log --row` and `snap blame`: what they print of a row's history."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from support.documents import documentation
from support.running.commandline import CommandLine
from support.servers.databases import Database

STEPS = (
    r"""CREATE SCHEMA shop;
    CREATE TABLE shop.orders (id int PRIMARY KEY, status text, total numeric(10,2), note text);
    CREATE TABLE shop.lines (order_id int, line int, what text, PRIMARY KEY (order_id, line));
    CREATE TABLE shop.log (at int, words text);
    CREATE TABLE shop.events (id int, day date, what text, PRIMARY KEY (id, day))
        PARTITION BY RANGE (day);
    CREATE TABLE shop.events_1 PARTITION OF shop.events
        FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
    CREATE TABLE shop.events_2 PARTITION OF shop.events DEFAULT;
    INSERT INTO shop.orders SELECT i, 'new', i, NULL FROM generate_series(1, 50) i;
    INSERT INTO shop.lines VALUES (1, 1, 'one, "first"'), (1, 2, 'two');
    INSERT INTO shop.log VALUES (1, 'a'), (1, 'a'), (2, 'b');
    INSERT INTO shop.events VALUES (7, '2026-01-05', 'here');
    CREATE TABLE shop.left_out AS SELECT 1 AS id, 'x' AS what""",
    r"""UPDATE shop.orders SET status = 'paid', note = E'tab\tand\nline' WHERE id = 42;
    INSERT INTO shop.log VALUES (1, 'a'); DELETE FROM shop.orders WHERE id = 9;
    UPDATE shop.events SET day = '2026-03-01' WHERE id = 7""",
    "SELECT 1",
    """ALTER TABLE shop.orders RENAME TO bookings;
    ALTER TABLE shop.bookings RENAME status TO state; ALTER TABLE shop.bookings ADD vip boolean;
    UPDATE shop.bookings SET total = 99.5 WHERE id = 42; DELETE FROM shop.log WHERE at = 2""",
    """INSERT INTO shop.bookings VALUES (9, 'back', 1), (51, repeat('x', 5000), 2);
    UPDATE shop.bookings SET note = repeat('y', 20000000) WHERE id = 42""",
)


def record(snap: CommandLine, database: Database, *more: str) -> None:
    """Take a snapshot after each step."""
    snap.setenv("DATABASE_URL", database.dsn)
    snap.ok("init")
    for number, step in enumerate(STEPS):
        database.psql(step)
        snap.ok("commit", "-m", f"step {number}", *(["--tag", "second"] if number == 1 else []))


def names_in(*values: Any) -> set[str]:
    """Return the names of all fields; those of lists that are empty in one value are in another."""
    found = set().union(*map(documentation.field_names, values))
    return {name for name in found if not any(one.startswith((f"{name}[", f"{name}."))
                                              for one in found)}  # fmt: skip


def test_a_row_has_a_history(snap: CommandLine, database: Database) -> None:
    record(snap, database)
    _one_row(snap)
    _other_keys(snap)
    _blame(snap)
    _errors(snap)
    _unknown_rows(snap, database)


def _one_row(snap: CommandLine) -> None:
    shown = snap.ok("log", "--table", "shop.bookings", "--row", "42")
    assert "row 42 of shop.bookings: 4 events in 5 snapshots" in shown.err
    blocks = shown.out.split("\n\n")
    assert [block.split()[0] for block in blocks] == ["~", "~", "~", "="]
    assert "step 4" in blocks[0]
    assert "note: 'tab\\tand\\nline' -> 'yyyy" in blocks[0]
    assert "... (20.0 MB)" in blocks[0]
    # Where commits can read the server's files, OIDs are known.
    judged = ", judging by its indexes or sequences,"
    assert blocks[1].replace(judged, ",").splitlines()[1:] == [
        "    step 3",
        "    it was called shop.orders, and is shop.bookings since",
        "    column status was renamed to state, judging by its place",
        "    column vip was added",
        "    total: 42.00 -> 99.50",
        "    vip: (no column) -> NULL",
    ]
    assert "(second)" in blocks[2]
    assert "    status: 'new' -> 'paid'" in blocks[2]
    assert "there already, in the oldest snapshot" in blocks[3]
    assert "id=42, status='new', total=42.00, note=NULL" in blocks[3]

    found = snap.ok("log", "--table", "shop.bookings", "--row", "42", "--json").json
    assert [event["kind"] for event in found["events"]] == ["changed"] * 3 + ["first"]
    assert found["key"] == [{"column": "id", "value": "42"}]
    assert (found["present"], found["snapshots"], found["unique"]) == (1, 5, True)
    assert found["events"][0]["columns"][0]["after"]["whole"] is False
    assert found["events"][0]["columns"][0]["after"]["bytes"] == 20_000_000
    assert found["events"][2]["columns"] == [
        {
            "column": column,
            "was_called": None,
            "before": {"value": before, "bytes": size, "whole": True},
            "after": {"value": after, "bytes": len(repr(after)) - 2, "whole": True},
        }
        for column, before, size, after in (
            ("status", "new", 3, "paid"),
            ("note", None, 2, "tab\tand\nline"),
        )
    ]
    went = snap.ok("log", "--table", "bookings", "--row", "id=9", "--json").json
    assert [event["kind"] for event in went["events"]] == ["appeared", "removed", "first"]
    cut = snap.ok("log", "-n", "1", "--table", "bookings", "--row", "9", "--json").json
    assert [event["kind"] for event in cut["events"]] == ["appeared"]
    assert cut["more"]


def _other_keys(snap: CommandLine) -> None:
    for key in ("1,2", "line=2,order_id=1", '"1", 2'):
        found = snap.ok("log", "--table", "shop.lines", "--row", key, "--json").json
        assert [event["kind"] for event in found["events"]] == ["first"]
    counted = snap.ok("log", "--table", "shop.log", "--row", "1", "--key", "at")
    assert "rows with this key: 2 -> 3" in counted.out
    moved = snap.ok("log", "--table", "shop.events", "--row", "7", "--key", "id")
    assert "    day: '2026-01-05' -> '2026-03-01'" in moved.out
    assert "    moved from shop.events_1 to shop.events_2" in moved.out
    part = snap.ok("log", "--table", "shop.events_2", "--row", "7,2026-03-01", "--json").json
    assert [event["kind"] for event in part["events"]] == ["appeared"]
    since = snap.ok("log", "second", "--table", "shop.orders", "--row", "42", "--json").json
    assert [event["kind"] for event in since["events"]] == ["changed", "first"]
    early = ("--until", "2001-01-01")
    none = snap("log", "second", "--table", "shop.orders", "--row", "42", *early, "--json")
    assert (none.code, "in this span of time" in none.error["message"]) == (20, True)


def _blame(snap: CommandLine) -> None:
    shown = snap.ok("blame", "shop.bookings", "42").out.splitlines()
    assert [line.split()[3] for line in shown] == ["id", "state", "total", "note", "vip"]
    assert [line.split("step ")[1] for line in shown] == ["0", "1", "3", "4", "3"]
    assert [line[0] == "<" for line in shown] == [True, False, False, False, False]
    assert "is shop.bookings since" in snap.ok("blame", "shop.bookings", "42").err
    noted = snap.ok("blame", "shop.bookings", "42", "--json").json["notes"]
    assert "is shop.bookings since" in noted[0]["note"]
    then = snap.ok("blame", "shop.orders", "42", "second", "--json").json | {"notes": noted}
    assert [names_in(then)] == documentation.fields(documentation.section("snap blame"))
    assert [column["message"] for column in then["columns"]] == [
        *("step 0", "step 1", "step 0", "step 1"),
    ]
    new = snap.ok("blame", "shop.bookings", "51", "--json").json
    assert all(column["with_row"] for column in new["columns"])
    assert new["columns"][1]["value"] == "x" * 5000


def _errors(snap: CommandLine) -> None:
    for words, code, message, hint in (
        (("log", "--row", "1"), 2, "needs --table and --row", "Name both"),
        (("log", "latest"), 2, "needs --table and --row", "Name both"),
        (("log", "--table", "t", "--row", "1", "--all"), 2, "not listed so", "REMOTE/latest"),
        (("blame", "shop.booking", "1"), 20, "has a table shop.booking", "shop.bookings"),
        (("blame", "shop.bookings", "x"), 2, '"x" is no value of id', ""),
        (("blame", "shop.bookings", "1000"), 20, "has no row 1000", "Keys are written"),
        (("blame", "shop.orders", "9", "latest~2"), 20, "no row 9 any more", "snap log"),
        (("blame", "shop.lines", "1"), 2, "the key is 2 values", "order_id=VALUE,line=VALUE"),
        (("blame", "shop.log", "1"), 2, "has no primary key", "--key COLUMN"),
        (("blame", "shop.log", "1", "--key", "att"), 2, 'no column "att"', 'mean "at"'),
        (("blame", "shop.log", "1", "--key", "at"), 2, "3 rows of shop.log", "--key"),
        (("blame", "shop.log", "1", "--key", "at,at"), 2, "names no columns", "--key"),
        (("log", "--table", "t", "--row", "1", "--since", "soon"), 2, "is no time", "2026"),
    ):
        failed = snap(*words, "--json")
        assert (failed.code, message in failed.error["message"]) == (code, True), failed.err
        assert hint in failed.error["hint"]


def _unknown_rows(snap: CommandLine, database: Database) -> None:
    """A snapshot without the rows of the table says neither that they are there nor not."""
    database.psql("UPDATE shop.left_out SET what = 'y'")
    snap.ok("commit", "-m", "without", "--exclude-table-data", "shop.left_out")
    database.psql("UPDATE shop.left_out SET what = 'z'")
    snap.ok("commit", "-m", "with")
    arguments = ("log", "--table", "shop.left_out", "--key", "id", "--row", "1")
    found = snap.ok(*arguments, "--json").json
    assert [event["kind"] for event in found["events"]] == ["changed", "first"]
    (unknown,) = found["events"][0]["unknown"]
    assert "the rows of shop.left_out were left out" in unknown["reason"]
    assert found["unknown"] == [unknown]
    other = snap.ok("log", "--table", "shop.bookings", "--row", "42", "--json").json
    logged = documentation.fields(documentation.section("snap log"))
    assert names_in(found, other) == logged[-1]
    assert "it may have been earlier" in snap.ok(*arguments).out


def test_another_table_of_the_same_name_and_keys_in_another_case(
    snap: CommandLine, database: Database
) -> None:
    snap.setenv("DATABASE_URL", database.dsn)
    snap.ok("init")
    database.psql(
        "CREATE EXTENSION citext; CREATE TABLE t (id int PRIMARY KEY, v text);"
        " CREATE TABLE c (v text, k citext PRIMARY KEY); CREATE TABLE absent (id int PRIMARY KEY);"
        " INSERT INTO t VALUES (5, 'old'); INSERT INTO c VALUES ('1', 'Zoë@x'), ('2', 'other')"
    )
    _commit_with_a_copy(snap, "one")
    database.psql(
        "ALTER TABLE t RENAME TO t_old; CREATE TABLE t (id int PRIMARY KEY, v text);"
        " INSERT INTO t VALUES (5, 'new'); UPDATE c SET k = 'ZOË@X'"
        " WHERE k = 'zoë@x'"
    )
    _commit_with_a_copy(snap, "two")
    note = "another table was called public.t until then, which is public.t_old since"
    history = ("log", "--table", "t", "--row", "5")
    assert note in snap.ok(*history).out
    assert f"{note}, judging by its indexes" in snap.ok(*history, "--database", "copy").out
    for label in ("--database", "copy"), ():
        assert note in snap.ok("blame", "t", "5", *label).err
    old = snap.ok("log", "--table", "t_old", "--row", "5", "--json").json
    assert [event["kind"] for event in old["events"]] == ["defined", "first"]
    for key in ("Zoë@x", "zoë@X"):
        found = snap.ok("log", "--table", "c", "--row", key, "--json").json
        assert [event["kind"] for event in found["events"]] == ["changed", "first"]

    snap.ok("commit", "-m", "part", "--exclude-table-data", "absent")
    snap.ok("export", "latest", "part.sql")
    snap.ok("commit", "-m", "part", "--file", "part.sql", "--database", "part")
    unknown = snap.ok("log", "--table", "absent", "--row", "1", "--database", "part").err
    assert "it is not known which rows 1 of 1 snapshot has; " in unknown
    assert "it is not known whether there was a row 1 of public.absent" in unknown
    failed = snap("blame", "absent", "1", "--database", "part")
    assert (failed.code, "it is not known whether there is a row 1" in failed.err) == (20, True), (
        failed
    )


def _commit_with_a_copy(snap: CommandLine, name: str) -> None:
    """Take a snapshot, and one of its dump, in which no OIDs are."""
    snap.ok("commit", "-m", name)
    snap.ok("export", "latest", f"{name}.sql")
    snap.ok("commit", "-m", name, "--file", f"{name}.sql", "--database", "copy")


def test_a_row_of_an_encrypted_repository_and_of_its_remote(
    snap: CommandLine, database: Database, tmp_path: Path
) -> None:
    (snap.work / "key").write_bytes(bytes(range(32)))
    (snap.work / "key").chmod(0o600)
    database.psql("CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'a')")
    snap.setenv("DATABASE_URL", database.dsn)
    snap.ok("init", "--encrypt", "--key-file", "key")
    snap.ok("commit", "-m", "one", "--key-file", "key")
    database.psql("UPDATE t SET v = 'b'")
    snap.ok("commit", "-m", "two", "--key-file", "key")
    url = (tmp_path / "off site").as_uri()
    snap.ok("init", url, "--encrypt", "--key-file", "key")
    with (snap.work / "snap.toml").open("a") as config:
        config.write(f'\n[remotes.offsite]\nurl = "{url}"\nkey_file = "key"\n')
    snap.ok("push", "offsite", "--key-file", "key")
    snap.ok("fetch", "offsite", "--key-file", "key")
    first = snap.ok("log", "-n", "1", "--json", "--key-file", "key").json[0]["id"]
    snap.ok("forget", "--force", first, "--key-file", "key")
    snap.ok("gc", "--grace", "0s", "--key-file", "key")
    for rev, messages in (("latest", ["one"]), ("offsite/latest", ["two", "one"])):
        found = snap.ok("log", rev, "--table", "t", "--row", "1", "--json", "--key-file", "key")
        assert [event["message"] for event in found.json["events"]] == messages
