"""`snap init`: where no folder can be made, and what it writes about the database."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from pgsnap.model import ReadMode
from pgsnap.repository.repository import Repository
from support.running.commandline import CommandLine
from support.servers.databases import Database


@pytest.mark.parametrize("inside", ["/proc", "a-file"])
def test_a_place_where_no_folder_can_be_made_is_named(snap: CommandLine, inside: str) -> None:
    (snap.work / "a-file").touch()
    place = Path(snap.work, inside, "backups")
    refused = snap("init", str(place), "--json")
    assert (refused.code, refused.error["kind"]) == (50, "store")
    assert refused.error["message"] == f'cannot make the folder "{place}"'
    assert str(place) in refused.error["detail"]
    assert "snap init PATH" in refused.error["hint"]
    assert not (snap.work / "snap.toml").exists()


def test_commits_read_only_what_changed_where_that_can_be_found_out(
    snap: CommandLine, database: Database
) -> None:
    role = f"plain_{database.name}"
    database.psql(f"CREATE ROLE {role} LOGIN; CREATE TABLE t AS SELECT 1 AS a")
    config = snap.work / "snap.toml"
    snap.setenv("DATABASE_URL", database.cluster.dsn(database.name, user=role))
    plain = snap.ok("init", "plain", "--json").json
    assert (plain["source"], plain["changes"]["way"]) == ("stream", None)
    assert "source" not in tomllib.loads(config.read_text())
    config.unlink()
    snap.setenv("DATABASE_URL", database.dsn)
    made = snap.ok("init")
    assert "commits read only what changed, by the pages in the server's files" in made.out
    assert tomllib.loads(config.read_text()) == {"source": "direct"}
    snap.ok("commit", "-m", "one")
    second = snap.ok("commit", "-m", "two", "--json").json
    with Repository.open(snap.work / "database" / "backups") as repo:
        reading = repo.snapshot(bytes.fromhex(second["id"])).reading
    assert reading is not None
    assert reading.mode is ReadMode.CHANGED
    # Where there is a snap.toml, it stays as it is.
    assert snap.ok("init", "other", "--json").json["source"] == "direct"
    config.write_text("")
    assert snap.ok("init", "third", "--json").json["source"] == "stream"
    assert config.read_text() == ""


def test_the_database_of_dsn_stays_that_of_the_folder(
    snap: CommandLine, database: Database
) -> None:
    database.psql("CREATE TABLE only_here AS SELECT 1 AS a")
    made = snap.ok("init", "--dsn", database.dsn)
    assert "it names the database of --dsn" in made.out
    assert tomllib.loads((snap.work / "snap.toml").read_text())["dsn"] == database.dsn
    # Without DATABASE_URL; libpq's own variables come after snap.toml.
    snap.setenv("PGDATABASE", "postgres")
    assert snap.ok("commit", "-m", "one", "--json").json["database"] == database.name


def test_a_password_in_dsn_is_not_written_and_another_database_is_named(
    snap: CommandLine, database: Database
) -> None:
    config = snap.work / "snap.toml"
    secret = f"{database.dsn}&password=hush"
    made = snap.ok("init", "--dsn", secret)
    assert "hush" not in config.read_text() + made.out + made.err
    assert "dsn" not in tomllib.loads(config.read_text())
    assert "--dsn holds a password, so snap.toml does not get it" in made.err
    # The file is there already.
    made = snap.ok("init", "other", "--dsn", database.dsn)
    assert "read the database that libpq's environment names" in made.err
    config.unlink()
    # It would come before snap.toml.
    snap.setenv("DATABASE_URL", "dbname=elsewhere")
    made = snap.ok("init", "third", "--dsn", database.dsn)
    assert "read the database that DATABASE_URL names" in made.err
    config.unlink()
    refused = snap("init", "fourth", "--dsn", "postgresql://host:99999999/x")
    assert refused.code == 2
    assert not (snap.work / "fourth").exists()
    assert not config.exists()
