"""snap doctor where a schedule commits all databases of a server."""

from __future__ import annotations

from support.running.commandline import CommandLine
from support.servers.databases import Database


def test_every_database_that_a_schedule_commits_is_looked_at_and_the_output_is_bounded(
    snap: CommandLine, own_cluster_database: Database
) -> None:
    cluster = own_cluster_database.cluster
    for number in range(7):
        cluster.create_database(f"shop{number}")
    cluster.psql("CREATE ROLE plain LOGIN; REVOKE CONNECT ON DATABASE shop6 FROM PUBLIC")
    cluster.psql("CREATE TABLE secret (a int)", "shop5")
    snap.setenv("XDG_STATE_HOME", str(snap.folder / "state"))
    snap.ok("init")
    snap.ok("commit", "-m", "the first", "--dsn", cluster.dsn("shop0"))
    (snap.work / "snap.toml").write_text(
        f'dsn = "{cluster.dsn("shop0", user="plain")}"\n[schedule]\nall_databases = true\n'
    )
    steps = snap("doctor", "--json").json["steps"]

    def texts(name: str, health: str) -> list[str]:
        return [s["text"] for s in steps if (s["name"], s["health"]) == (name, health)]

    (young,) = texts("snapshot", "ok")
    assert young.startswith("the newest of shop0 is ")
    missing = texts("snapshot", "red")
    # postgres, the test's own and six of seven: five are named.
    assert len(missing) == 6
    assert missing[0] == "there is no snapshot of postgres yet"
    assert missing[-1] == "and 3 more"
    assert [s["next"] for s in steps if s["text"] == missing[1]] == [
        "Make one: snap schedule run commit"
    ]
    (secret,) = texts("backup rights", "red")
    assert "may not read 1 of the tables and sequences in shop5: public.secret" in secret
    assert texts("backup rights", "ok")[-1] == "and 2 more"
    assert texts("restore rights", "warning")[-1] == "and 2 more"
    (silent,) = texts("server", "red")
    assert silent.startswith("database shop6 does not answer")
    shown = snap("doctor").out.partition("Do next")[2]
    assert shown.count("snap schedule run commit") == 1
    # Of one database only, where that is asked for.
    one = snap("doctor", "--database", "shop0", "--json").json["steps"]
    assert not [s for s in one if "more" in s["text"] or "shop1" in s["text"]]
