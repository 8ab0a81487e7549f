"""A database of which a DROP was cut short is never put back, and stands in nobody's way."""

from __future__ import annotations

import pytest

from pgsnap.cluster.cluster import Cluster
from support.restoring.clients import databases_like
from support.restoring.dropping import connection_limit, half_drop
from support.running.commandline import CommandLine, Result
from support.servers.databases import Database, new_name


@pytest.fixture
def shop(snap: CommandLine, database: Database) -> CommandLine:
    """Two snapshots of a database: of one row, and of two."""
    snap.setenv("DATABASE_URL", database.dsn)
    database.psql("CREATE TABLE t (a int); INSERT INTO t VALUES (1)")
    snap.use_tools_of(database.cluster)
    snap.ok("init")
    snap.ok("commit", "-m", "one row", "--tag", "one")
    database.psql("INSERT INTO t VALUES (2)")
    snap.ok("commit", "-m", "two rows", "--tag", "two")
    return snap


def rows(database: Database) -> str:
    return database.psql("SELECT count(*) FROM t")


def kept_by(result: Result) -> str:
    kept = result.json["kept"]
    assert isinstance(kept, str)
    return kept


def restored(shop: CommandLine, tag: str = "one", *more: str) -> str:
    """Restore, and return the name of the database that is kept."""
    return kept_by(shop.ok("restore", tag, "--yes", "--json", *more))


def test_undo_never_puts_back_a_half_dropped_database(
    shop: CommandLine, database: Database
) -> None:
    kept = restored(shop)
    half_drop(database.cluster, kept)
    result = shop("undo", "--yes")
    assert result.code == 40
    assert f"{kept} is half-dropped" in result.err
    assert f'DROP DATABASE "{kept}";' in result.err
    assert rows(database) == "1"
    # The command that is named works, and so does snap's own.
    shop.ok("undo", "--discard", "--yes")
    assert connection_limit(database.cluster, kept) is None
    assert rows(database) == "1"


def test_a_half_dropped_kept_database_blocks_no_restore(
    shop: CommandLine, database: Database
) -> None:
    dead = restored(shop)
    half_drop(database.cluster, dead)
    done = shop.ok("restore", "two", "--yes", "--json")
    kept = kept_by(done)
    assert any("half-dropped" in text and dead in text for text in done.json["warnings"])
    assert rows(database) == "2"
    # The newest is whole: undo takes that one.
    shop.ok("undo", "--yes")
    assert rows(database) == "1"
    assert connection_limit(database.cluster, dead) == -2
    # The discarding of what is half-dropped comes first.
    found = shop.ok("undo", "--discard", "--yes", "--json").json
    assert found["discarded"] == dead
    assert kept not in databases_like(database, "%\\_\\_snap\\_%")
    assert len(databases_like(database, "%\\_\\_snap\\_%")) == 1


def test_discard_old_drops_what_is_half_dropped_too(shop: CommandLine, database: Database) -> None:
    dead = restored(shop)
    half_drop(database.cluster, dead)
    kept = restored(shop, "two", "--discard-old")
    assert databases_like(database, "%\\_\\_snap\\_%") == [kept]


def test_a_half_dropped_live_database_is_replaced_by_undo_and_by_restore(
    shop: CommandLine, database: Database
) -> None:
    kept = restored(shop)
    half_drop(database.cluster, database.name)
    for command in (("undo", "--yes"), ("restore", "one", "--yes")):
        result = shop(*command)
        assert result.code == 40
        assert f"{database.name} is half-dropped" in result.err
        assert "--no-safety-snapshot" in result.err
        assert "idle connections" not in result.err
    done = shop.ok("undo", "--yes", "--no-safety-snapshot", "--json")
    assert done.json["safety_snapshot"] is None
    assert rows(database) == "2"
    dead = kept_by(done)
    assert kept not in databases_like(database, "%\\_\\_snap\\_%")
    # What was replaced is half-dropped still: nothing puts it back, and no hint says so.
    assert shop("undo", "--yes").code == 40
    assert rows(database) == "2"
    half_drop(database.cluster, database.name)
    shop.ok("restore", "one", "--yes", "--no-safety-snapshot")
    assert rows(database) == "1"
    shop.ok("undo", "--discard", "--yes")
    shop.ok("undo", "--discard", "--yes")
    assert dead not in databases_like(database, "%\\_\\_snap\\_%")


def test_the_only_good_copy_is_never_dropped(shop: CommandLine, database: Database) -> None:
    kept = restored(shop)
    half_drop(database.cluster, database.name)
    result = shop("undo", "--discard", "--yes")
    assert result.code == 40
    assert "half-dropped" in result.err
    assert "snap undo" in result.err
    done = shop.ok("restore", "one", "--yes", "--no-safety-snapshot", "--discard-old", "--json")
    assert done.json["discarded"] == []
    assert kept in databases_like(database, "%\\_\\_snap\\_%")
    # What is left of the one that was half-dropped goes, and nothing else.
    shop.ok("undo", "--discard", "--yes")
    database.cluster.drop_database(database.name)
    result = shop("undo", "--discard", "--yes")
    assert result.code == 40
    assert "only good copy" in result.err
    assert kept in databases_like(database, "%\\_\\_snap\\_%")


def test_log_check_and_doctor_call_it_what_it_is_and_name_the_command_that_drops_it(
    shop: CommandLine, database: Database
) -> None:
    kept = restored(shop)
    command = f'DROP DATABASE "{kept}";'
    assert "put back: snap undo" in shop.ok("log").out
    half_drop(database.cluster, kept)
    log = shop.ok("log").out
    assert "put back: snap undo" not in log
    assert "half-dropped: cannot be put back" in log
    assert command in log
    assert shop.ok("log", "--json").json[0]["kept"][0]["half_dropped"] is True
    checked = shop("check", "--json").json
    assert any("half-dropped" in f["text"] and command in f["text"] for f in checked["findings"])
    assert [one["half_dropped"] for one in checked["kept"]] == [True]
    doctor = shop("doctor", "--json").json
    [step] = [s for s in doctor["steps"] if "half-dropped" in s["text"]]
    assert (step["health"], kept in step["text"]) == ("warning", True)
    assert command in step["next"]
    database.cluster.psql(command)
    # Somebody else's is none of its business.
    stranger = new_name()
    database.cluster.create_database(stranger)
    half_drop(database.cluster, stranger)
    assert "half-dropped" not in shop("check", "--json").out + shop("doctor").out
    database.cluster.drop_database(stranger)


def test_check_and_doctor_are_red_where_the_live_database_is_half_dropped(
    shop: CommandLine, database: Database
) -> None:
    restored(shop)
    half_drop(database.cluster, database.name)
    checked = shop("check")
    assert checked.code == 4
    assert "half-dropped" in checked.out
    doctor = shop("doctor", "--json")
    assert doctor.code == 4
    assert "--discard" not in " ".join(step["next"] for step in doctor.json["steps"])
    [step] = [s for s in doctor.json["steps"] if "half-dropped" in s["text"]]
    assert (step["health"], "snap undo" in step["next"]) == ("red", True)


def test_a_commit_of_a_half_dropped_database_says_what_it_is(
    shop: CommandLine, database: Database
) -> None:
    half_drop(database.cluster, database.name)
    result = shop("commit", "-m", "dead")
    assert result.code == 30
    assert "half-dropped" in result.err
    assert "Try the same connection" not in result.err


def test_a_schedule_of_all_databases_goes_around_a_half_dropped_one(
    shop: CommandLine, own_cluster: Cluster
) -> None:
    whole, dead = new_name(), new_name()
    for name in (whole, dead):
        own_cluster.create_database(name)
    half_drop(own_cluster, dead)
    shop.setenv("DATABASE_URL", own_cluster.dsn("postgres"))
    (shop.work / "snap.toml").write_text(
        'repository = "database/backups"\n[schedule]\ncommit = "0 2 * * *"\nall_databases = true\n'
    )
    result = shop("schedule", "run", "commit", "--all-databases")
    assert result.code == 0, result.err
    assert f"{dead} is half-dropped" in result.err
    checked = shop("check", "--json")
    [told] = [f for f in checked.json["findings"] if "half-dropped" in f["text"]]
    assert (told["level"], told["database"]) == ("warning", dead)
    assert checked.code == 0
    steps = shop("doctor", "--json").json["steps"]
    assert not [s for s in steps if dead in s["text"] and s["health"] == "red"]


def test_a_name_that_a_half_dropped_database_has_is_told_with_the_command(
    shop: CommandLine, database: Database
) -> None:
    name = new_name()
    database.cluster.create_database(name)
    half_drop(database.cluster, name)
    result = shop("restore", "one", "--to", name, "--yes")
    assert result.code == 40
    assert "half-dropped" in result.err
    assert f'DROP DATABASE "{name}";' in result.err
    database.cluster.psql(f'DROP DATABASE "{name}";')


def test_a_half_dropped_scratch_database_is_a_leftover(
    shop: CommandLine, database: Database
) -> None:
    name = f"{database.name}__snap_0123456789"
    database.cluster.create_database(name)
    half_drop(database.cluster, name)
    assert name in shop("doctor").out
    shop.ok("restore", "one", "--yes")
    assert connection_limit(database.cluster, name) is None


def test_another_database_of_the_kept_name_is_not_put_back(
    shop: CommandLine, database: Database
) -> None:
    kept = restored(shop)
    database.cluster.drop_database(kept)
    database.cluster.create_database(kept)
    result = shop("undo", "--yes")
    assert result.code == 40
    assert "no kept database" in result.err
    assert rows(database) == "1"
