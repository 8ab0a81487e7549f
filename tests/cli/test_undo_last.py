"""`snap undo` undoes what was done last: to single tables, to what differed, or to all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo

import pytest

from pgsnap.model import Note
from pgsnap.repository.repository import Repository
from pgsnap.workflows.notes.tables_put_back import TablesPutBack, note_tables_put_back
from support.running.commandline import CommandLine
from support.servers.databases import Database


@pytest.fixture
def shop(snap: CommandLine, database: Database) -> CommandLine:
    snap.setenv("DATABASE_URL", database.dsn)
    database.psql(
        "CREATE TABLE t (a int PRIMARY KEY); INSERT INTO t VALUES (1);"
        "CREATE TABLE u (a int REFERENCES t); INSERT INTO u VALUES (1);"
        "CREATE TABLE p (a int) PARTITION BY LIST (a);"
        "CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1); INSERT INTO p VALUES (1)"
    )
    snap.ok("init")
    snap.ok("commit", "-m", "first", "--tag", "first")
    return snap


class AnHourAhead(datetime):
    """The clock before somebody sets it right."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> AnHourAhead:
        return cls.fromtimestamp((datetime.now(UTC) + timedelta(hours=1)).timestamp(), tz)


def rows(database: Database, table: str = "t") -> str:
    return database.psql(f"SELECT string_agg(a::text, ',' ORDER BY a) FROM {table}")


def test_the_last_restore_is_undone_be_it_of_a_table_of_what_differs_or_of_all(
    shop: CommandLine, database: Database
) -> None:
    database.psql("INSERT INTO t VALUES (2)")
    shop.ok("restore", "first", "--yes")
    database.psql("INSERT INTO t VALUES (3)")
    shop.ok("restore", "first", "--table", "t", "--replace", "--cascade-check", "--yes")
    assert rows(database) == "1"
    # Nothing is done without an answer; what would be undone is shown, and what is older.
    shown = shop("undo")
    assert shown.code == 5
    assert "Undoes:" in shown.err
    assert "public.t" in shown.err
    assert "snap undo --whole" in shown.err
    done = shop.ok("undo", "--yes", "--json").json
    assert rows(database) == "1,3"
    assert rows(database, "u") == "1"
    assert done["undoes"]["kind"] == "tables"
    assert done["undoes"]["tables"] == ["public.t"]
    shop.ok("undo", "--yes")
    assert rows(database) == "1"
    kept = database.psql(
        "SELECT string_agg(quote_ident(relname), ', ') FROM pg_class"
        " WHERE relkind = 'r' AND relname LIKE '%replaced%'"
    )
    database.psql(f"DROP TABLE {kept}; INSERT INTO t VALUES (4)")
    shop.ok("restore", "first", "--changed-only", "--yes")
    assert shop.ok("undo", "--yes", "--json").json["undoes"]["kind"] == "changed"
    assert rows(database) == "1,4"
    whole = shop.ok("undo", "--whole", "--yes", "--json").json
    assert rows(database) == "1,2"
    assert whole["undoes"]["kind"] == "database"
    # What was done in the other database is not what was done in this one.
    assert "restore of the whole" not in shop("undo").err
    shop.ok("undo", "--yes")
    assert rows(database) == "1,4"


def test_partitions_and_tables_that_were_not_there_before_are_told_apart(
    shop: CommandLine, database: Database
) -> None:
    database.psql("CREATE TABLE p2 PARTITION OF p FOR VALUES IN (2); INSERT INTO p VALUES (2)")
    database.psql("DROP TABLE u")
    shop.ok("restore", "first", "--table", "p", "--table", "u", "--replace", "--yes")
    assert rows(database, "p") == "1"
    stays = shop.ok("undo", "--yes", "--verbose").err
    assert "public.u, which was not there before" in stays
    assert rows(database, "p") == "1,2"
    database.psql("DROP TABLE u")
    shop.ok("restore", "first", "--table", "u", "--replace", "--yes")
    refused = shop("undo", "--yes")
    assert refused.code == 40
    assert "DROP TABLE public.u;" in refused.err
    # Once that is done, what was before it is undone.
    database.psql("DROP TABLE u")
    shop.ok("undo", "--yes")
    assert rows(database, "p") == "1"


def test_what_no_safety_snapshot_has_is_not_undone_but_named(
    shop: CommandLine, database: Database
) -> None:
    database.psql("INSERT INTO p VALUES (1)")
    replace = ("restore", "first", "--table", "p", "--replace", "--yes")
    first = shop.ok("show", "first", "--json").json["id"]
    planned = shop.ok(*replace, "--no-safety-snapshot", "--verbose").err
    assert "First: no safety snapshot: snap undo cannot take this back" in " ".join(planned.split())
    refused = shop("undo", "--yes")
    assert refused.code == 40
    assert "It replaced public.p, on " in refused.err
    assert "public.p__replaced_" in refused.err
    assert f"snap restore {first[:12]} --to NEW --table public.p." in refused.err
    database.psql("DELETE FROM u; DELETE FROM t")
    by_row = ("restore", "first", "--table", "t", "--row", "1", "--yes", "--no-safety-snapshot")
    planned = " ".join(shop.ok(*by_row, "--verbose").err.split())
    assert "rows that are changed or deleted are kept nowhere" in planned
    assert "It replaced 1 row of public.t, on " in shop("undo", "--yes").err
    safety = shop.ok(*replace, "--json").json["safety_snapshot"]
    shop.ok("forget", safety, "--force")
    refused = shop("undo", "--yes")
    assert refused.code == 40
    assert safety[:12] in refused.err


def test_the_note_of_tables_that_were_not_replaced_does_not_count(
    shop: CommandLine, database: Database
) -> None:
    database.psql("INSERT INTO p VALUES (1)")
    shop.ok("restore", "first", "--yes")
    oid, identifier, transaction = database.psql(
        "BEGIN; CREATE TABLE x (a int);"
        " SELECT d.oid, s.system_identifier, pg_current_xact_id() FROM pg_control_system() s,"
        " pg_database d WHERE d.datname = current_database(); ROLLBACK"
    ).split("|")
    with Repository.open(shop.work / "database" / "backups") as repo:
        done = TablesPutBack(datetime.now(UTC), None, None, database.name, "restore", (("a", "b"),))
        note_tables_put_back(
            repo, database.name, identifier, done, oid=int(oid), transaction=int(transaction)
        )
    assert shop.ok("undo", "--yes", "--json").json["undoes"]["kind"] == "database"
    assert rows(database, "p") == "1,1"


@pytest.mark.parametrize(
    ("last", "kind"),
    [
        (("--changed-only",), "changed"),
        (("--table", "p", "--replace"), "tables"),
        (("--table", "t", "--row", "1"), "rows"),
        ((), "database"),
    ],
)
def test_the_last_restore_is_undone_whatever_the_clock_said(
    shop: CommandLine,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    last: tuple[str, ...],
    kind: str,
) -> None:
    settings = shop.work / "snap.toml"
    settings.write_text("keep_replaced = 2\n" + settings.read_text("utf-8"), "utf-8")
    database.psql("INSERT INTO t VALUES (2)")
    with monkeypatch.context() as wrong:
        wrong.setattr("pgsnap.workflows.restore.restore.datetime", AnHourAhead)
        shop.ok("restore", "first", "--yes")
    database.psql("UPDATE u SET a = NULL; DELETE FROM t; INSERT INTO t VALUES (3); DELETE FROM p")
    shop.ok("restore", "first", *last, "--yes")
    done = shop.ok("undo", "--yes", "--json").json
    assert done["undoes"]["kind"] == kind
    assert (rows(database), rows(database, "p")) == ("3", "")


def test_notes_that_somebody_else_wrote_oddly_are_passed_over(
    shop: CommandLine, database: Database
) -> None:
    database.psql("INSERT INTO t VALUES (2)")
    kept = shop.ok("restore", "first", "--yes", "--json").json["kept"]
    oid, identifier, transaction = database.psql(
        "SELECT d.oid, s.system_identifier, pg_current_xact_id() FROM pg_control_system() s,"
        " pg_database d WHERE d.datname = current_database()"
    ).split("|")
    sound = {
        "oid": int(oid),
        "system_identifier": identifier,
        "transaction": int(transaction),
        "safety": "ab" * 32,
        "database": database.name,
        "tables": [["public", "t"]],
    }
    odd: list[tuple[str, object]] = [
        *[("transaction", each) for each in (None, "x", 1.5, True, -1, 10**30, [])],
        *[("safety", each) for each in (None, "xy", [1], 7)],
    ]
    lists = [(key, each) for key in ("tables", "new", "kept", "keys") for each in (None, "x", [1])]
    with Repository.open(shop.work / "database" / "backups") as repo:
        for kind, more in (("put_back", []), ("tables_put_back", [*lists, ("new", [["a"]])])):
            for key, value in [*odd, *more]:
                body = {**sound, key: value}
                repo.add_note(Note(kind, database.name, datetime.now(UTC), None, body))
        body = {"live": database.name, "kept": kept, "action": "restore", "oid": [], "order": "x"}
        repo.add_note(Note("swapped", database.name, datetime.now(UTC), None, body))
        body = {"kept": [], "why": "never made"}
        repo.add_note(Note("discarded", database.name, datetime.now(UTC), None, body))
        body = {"system_identifier": identifier, "database_oid": [], "use": "live"}
        repo.add_note(Note("baseline", database.name, datetime.now(UTC), None, body))
    shop.ok("status")
    assert shop.ok("undo", "--yes", "--json").json["undoes"]["kind"] == "database"
    assert rows(database) == "1,2"
    shop.ok("restore", "first", "--yes", "--discard-old")
