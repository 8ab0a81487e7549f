"""Two servers under one label: each has a chain of its own, and none replaces the other unasked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from pgsnap.cluster.binaries import Binaries
from pgsnap.cluster.cluster import Cluster
from support.documents import documentation
from support.faults.damaging import flip
from support.running.commandline import CommandLine, Result
from support.servers.databases import Database, new_name


@pytest.fixture(scope="module")
def other_cluster(binaries: Binaries) -> Iterator[Cluster]:
    with Cluster(binaries, fsync=False) as made:
        yield made


@dataclass(frozen=True)
class Site:
    """A server that has a database of a name that another one has too."""

    snap: CommandLine
    database: Database

    def __call__(self, *arguments: str) -> Result:
        return self.snap(*arguments, "--dsn", self.database.dsn)

    def ok(self, *arguments: str) -> Result:
        return self.snap.ok(*arguments, "--dsn", self.database.dsn)

    def commit(self, message: str) -> str:
        return str(self.ok("commit", "-m", message, "--json").json["id"])

    @property
    def identifier(self) -> str:
        sql = "SELECT system_identifier FROM pg_control_system()"
        return self.database.cluster.psql(sql).strip()

    @property
    def rows(self) -> list[str]:
        return self.database.psql("SELECT string_agg(n::text, ',' ORDER BY n) FROM t").split()


@pytest.fixture
def sites(
    snap: CommandLine, cluster: Cluster, other_cluster: Cluster
) -> Iterator[tuple[Site, Site]]:
    """Production with three rows, staging with one; both have a database of one name."""
    snap.ok("init")
    name = new_name("app")
    found = []
    for server, rows in ((cluster, 3), (other_cluster, 1)):
        server.create_database(name)
        made = Database(server, name)
        made.psql(f"CREATE TABLE t AS SELECT n FROM generate_series(1, {rows}) n")
        found.append(Site(snap, made))
    yield found[0], found[1]
    for server in (cluster, other_cluster):
        where = f"WHERE datname = '{name}' OR starts_with(datname, '{name}__snap_')"
        for left in server.psql(f"SELECT datname FROM pg_database {where}").split():
            server.drop_database(left)


def test_a_commit_of_another_server_is_recorded_and_says_so(sites: tuple[Site, Site]) -> None:
    production, staging = sites
    first = production.ok("commit", "-m", "one", "--json").json
    assert first["another_server"] is None
    assert first["system_identifier"] == production.identifier
    second = staging.ok("commit", "-m", "two", "--json").json
    assert second["another_server"] == production.identifier
    assert second["parent"] is None
    assert any("another server" in notice for notice in second["notices"])
    third = production.ok("commit", "-m", "three", "--json").json
    assert third["parent"] == first["id"]
    told = staging.ok("commit", "-m", "four").err
    assert f"adopt {production.database.name}@{production.identifier}" in told


def test_latest_parents_and_times_are_those_of_the_connected_server(
    sites: tuple[Site, Site],
) -> None:
    production, staging = sites
    mine, theirs = production.commit("one"), staging.commit("two")
    assert production.ok("show", "latest", "--json").json["id"] == mine
    assert staging.ok("show", "latest", "--json").json["id"] == theirs
    assert production.ok("show", "@2199-01-01", "--json").json["id"] == mine
    assert production("show", "latest~1").code == 20
    # Staging's is the newer one.
    saved = production("restore", "latest").err.partition("Last saved:")[2].splitlines()[0]
    assert mine[:12] in saved
    production.ok("restore", "latest", "--yes")
    assert production.rows == ["1,2,3"]
    log = {one["id"]: one["system_identifier"] for one in production.ok("log", "--json").json}
    assert (log[mine], log[theirs]) == (production.identifier, staging.identifier)
    assert f"Server: {staging.identifier}" in " ".join(production.ok("log").out.split())


def test_another_server_s_snapshot_replaces_a_database_only_where_that_is_said(
    sites: tuple[Site, Site],
) -> None:
    production, staging = sites
    production.commit("one")
    theirs = staging.commit("two")
    name = f"{staging.database.name}@{staging.identifier}"
    refused = production("restore", theirs, "--yes", "--json")
    assert refused.code == 40
    assert name in refused.error["message"]
    assert f"--from-server {name}" in refused.error["hint"]
    tables = production("restore", theirs, "--table", "t", "--replace", "--yes")
    assert tables.code == 40
    assert name in tables.err
    assert production.rows == ["1,2,3"]
    copy = new_name("copy")
    production.ok("restore", theirs, "--to", copy, "--yes")
    production.database.cluster.drop_database(copy)
    wrong = production("restore", theirs, "--from-server", f"{staging.database.name}@99", "--yes")
    assert wrong.code == 20
    production.ok("restore", "latest", "--from-server", name[:-3], "--yes")
    assert production.rows == ["1"]


def test_nothing_stands_in_the_way_where_the_database_is_empty_or_missing(
    sites: tuple[Site, Site],
) -> None:
    production, staging = sites
    theirs = staging.commit("two")
    production.commit("one")
    server, name = production.database.cluster, production.database.name
    server.drop_database(name)
    server.create_database(name)
    production.ok("restore", theirs, "--yes")
    assert production.rows == ["1"]
    production.ok("undo", "--discard", "--yes")
    server.drop_database(name)
    production.ok("restore", theirs, "--yes")
    assert production.rows == ["1"]


def test_a_server_without_snapshots_takes_the_only_chain_and_refuses_to_choose_among_several(
    sites: tuple[Site, Site], own_cluster: Cluster
) -> None:
    production, staging = sites
    third = Site(production.snap, Database(own_cluster, production.database.name))
    theirs = staging.commit("one")
    plan = third("restore", "latest")
    assert plan.code == 5
    assert staging.identifier in plan.err
    assert third.identifier in plan.err
    third.ok("restore", "latest", "--yes")
    assert third.rows == ["1"]
    mine = production.commit("two")
    unclear = third("restore", "latest", "--yes")
    assert unclear.code == 20
    assert mine[:12] in unclear.err
    assert theirs[:12] in unclear.err
    assert third("cat", "latest").code == 20
    name = f"{production.database.name}@{production.identifier}"
    third.ok("restore", "latest", "--from-server", name, "--yes", "--discard-old")
    assert third.rows == ["1,2,3"]


def test_gc_keeps_the_newest_of_each_server(sites: tuple[Site, Site]) -> None:
    production, staging = sites
    mine = [production.commit("one"), production.commit("two")]
    theirs = [staging.commit("one"), staging.commit("two")]
    production.ok("gc", "--keep-last", "1", "--grace", "0s")
    left = {one["id"] for one in production.ok("log", "--json").json}
    assert left == {mine[1], theirs[1]}


def test_check_looks_at_the_server_that_is_connected_to(sites: tuple[Site, Site]) -> None:
    production, staging = sites
    production.commit("one")
    warned = staging.ok("check", "--json", "--max-age", "1h").json
    assert warned["status"] == "warning"
    assert "of this server" in warned["line"]
    theirs = staging.commit("two")
    found = staging.ok("check", "--json").json["databases"]
    assert [(one["newest"], one["system_identifier"]) for one in found] == [
        (theirs, staging.identifier)
    ]
    both = staging.ok("check", "--no-connect", "--json").json["databases"]
    servers = {production.identifier, staging.identifier}
    assert {one["system_identifier"] for one in both} == servers


def test_the_server_that_takes_over_has_the_snapshots_of_the_one_that_is_gone(
    sites: tuple[Site, Site],
) -> None:
    production, staging = sites
    before = production.commit("one")
    label = production.database.name
    done = staging.ok("database", "adopt", label, "--json").json
    assert done["adopted"] == production.identifier
    made = staging.ok("commit", "-m", "two", "--json").json
    assert (made["parent"], made["another_server"]) == (before, None)
    staging.ok("restore", before, "--yes")
    assert staging.rows == ["1,2,3"]
    # The old one lives after all: each has its own again.
    again = production.ok("commit", "-m", "three", "--json").json
    assert (again["parent"], again["another_server"]) == (before, staging.identifier)
    assert staging.ok("show", "latest", "--json").json["id"] != again["id"]


def test_a_server_that_is_adopted_later_is_no_longer_another_one(sites: tuple[Site, Site]) -> None:
    production, staging = sites
    before = production.commit("one")
    staging.commit("two")
    label = production.database.name
    assert staging("restore", before, "--yes").code == 40
    staging.ok("database", "adopt", f"{label}@{production.identifier}")
    staging.ok("restore", before, "--yes")
    assert staging.rows == ["1,2,3"]
    assert len(staging.ok("database", "list", "--json").json) == 1
    assert staging("database", "adopt", label).code == 2


def test_a_retired_server_is_waited_for_no_more_until_it_commits(
    sites: tuple[Site, Site],
) -> None:
    production, staging = sites
    production.commit("one")
    staging.commit("two")
    label = production.database.name
    production.ok("database", "retire", f"{label}@{staging.identifier}")
    check = ("check", "--no-connect", "--json")
    found = production.ok(*check).json["databases"]
    assert [one["system_identifier"] for one in found] == [production.identifier]
    retired = {
        one["system_identifier"]: one["retired"]
        for one in production.ok("database", "list", "--json").json
    }
    assert retired[staging.identifier] is not None
    assert retired[production.identifier] is None
    staging.commit("three")
    assert len(production.ok(*check).json["databases"]) == 2


def test_json_fields_of_database_are_those_documented(sites: tuple[Site, Site]) -> None:
    production, staging = sites
    label = production.database.name
    production.commit("one")
    found = [
        production.ok("database", "list", "--json").json[0],
        staging.ok("database", "adopt", label, "--json").json,
        production.ok("database", "retire", label, "--json").json,
        production.ok("database", "rename", label, "other", "--json").json,
    ]
    written = documentation.fields(documentation.section("snap database"))
    assert [documentation.field_names(one) for one in found] == written


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("shrink",), 2),
        (("retire",), 2),
        (("rename", "app"), 2),
        (("adopt", "a", "b"), 2),
        (("retire", "nothing"), 20),
        (("retire", "app@123"), 20),
        (("rename", "nothing", "app"), 20),
    ],
)
def test_wrong_words_are_refused(
    sites: tuple[Site, Site], arguments: tuple[str], code: int
) -> None:
    production, _ = sites
    production.commit("one")
    assert production("database", *arguments).code == code


def test_what_a_restore_replaced_on_a_new_server_makes_it_no_server_that_is_committed(
    sites: tuple[Site, Site],
) -> None:
    production, staging = sites
    mine = production.commit("one")
    staging.ok("restore", "latest", "--yes")
    assert staging.rows == ["1,2,3"]
    # Again, with the safety snapshot of this server there.
    staging.ok("restore", mine, "--yes", "--discard-old")
    assert staging.ok("show", "latest", "--json").json["tags"][0].startswith("before-restore/")
    found = staging.ok("check", "--json").json
    assert [one["newest"] for one in found["databases"]] == [mine]
    assert "of this server" in found["line"]
    staging.commit("two")
    assert staging("restore", mine, "--yes", "--discard-old").code == 40


def test_a_damaged_note_of_servers_is_told_by_plan_and_check(sites: tuple[Site, Site]) -> None:
    production, staging = sites
    production.commit("one")
    staging.commit("two")
    [note] = (production.snap.work / "database" / "backups" / "notes" / "chain").iterdir()
    flip(note, 30)
    for told in (production("restore", "latest").err, production("check").out):
        assert f"notes/chain/{note.name}" in told
    assert production("gc").code == 60
    assert production("verify").code == 60
