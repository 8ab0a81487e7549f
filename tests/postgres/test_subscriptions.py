"""Subscriptions come back disabled, and none stays behind in a database that is to be dropped."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pgsnap.cluster.cluster import Cluster
from pgsnap.errors import RestoreFailed, TargetRefused
from pgsnap.repository.repository import Repository
from pgsnap.targets.naming import new_token, scratch_name
from pgsnap.targets.swap.scratch import drop_leftovers
from pgsnap.workflows.restore.plan import RestoreOptions, plan_restore
from pgsnap.workflows.undo.undo import discard, plan_undo, undo
from support.restoring.clients import (
    LABEL,
    commit_database,
    databases_like,
    restore_now,
    server_of,
)
from support.restoring.drilling import checks_of, drill_now, failures
from support.servers.databases import Database, new_name

# The drill has to make definitions once more, in a second scratch database.
SUBSCRIBED = """
CREATE TABLE t (id int PRIMARY KEY, kind varchar(9) CHECK (kind IN ('a', 'b')));
INSERT INTO t VALUES (1, 'a');
CREATE SUBSCRIPTION news CONNECTION 'dbname=nowhere' PUBLICATION p
    WITH (connect = false, slot_name = 'keep_me'{more});
COMMENT ON SUBSCRIPTION news IS 'from the other house';
"""
FORBIDS_ALL = """
CREATE FUNCTION forbid() RETURNS event_trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'no %', tg_tag; END $$;
CREATE EVENT TRIGGER forbid ON ddl_command_start EXECUTE FUNCTION forbid();
ALTER EVENT TRIGGER forbid ENABLE ALWAYS;
"""
STATE = (
    "SELECT subname, subenabled, subslotname FROM pg_subscription s"
    " JOIN pg_database d ON d.oid = s.subdbid WHERE datname = current_database()"
)
DISABLED = "news|f|keep_me"


@pytest.fixture
def subscriber(database: Database) -> Iterator[Database]:
    database.psql(SUBSCRIBED.format(more=""))
    yield database
    unsubscribe(database)


def unsubscribe(database: Database) -> None:
    """Take away what would keep the databases of a test from being dropped."""
    for name in databases_like(database, f"{database.name}%"):
        each = Database(database.cluster, name)
        each.psql("DROP EVENT TRIGGER IF EXISTS forbid")
        if each.psql(STATE):
            each.psql(
                "ALTER SUBSCRIPTION news DISABLE; ALTER SUBSCRIPTION news SET (slot_name = NONE);"
                "DROP SUBSCRIPTION news"
            )


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def scratch_ones(database: Database) -> list[str]:
    return [
        name
        for name in databases_like(database, f"%{database.name}\\_\\_snap\\_%")
        if "_kept_" not in name
    ]


def test_a_drill_drops_its_scratch_databases(
    repo: Repository, subscriber: Database, tmp_path: Path
) -> None:
    server = server_of(subscriber)
    report = drill_now(repo, commit_database(repo, server), server, tmp_path)
    assert failures(report) == {}
    assert report.notices == ()
    assert scratch_ones(subscriber) == []
    assert subscriber.psql(STATE) == DISABLED


@pytest.mark.parametrize("more", ["", FORBIDS_ALL])
def test_what_a_killed_drill_left_is_dropped_by_the_next_whatever_its_event_triggers_forbid(
    repo: Repository, subscriber: Database, more: str
) -> None:
    subscriber.psql(more)
    server = server_of(subscriber)
    snapshot = commit_database(repo, server)
    name = scratch_name(subscriber.name, new_token())
    restore_now(repo, snapshot, server, RestoreOptions(to=name, scratch=True))
    assert Database(subscriber.cluster, name).psql(STATE) == DISABLED
    with server.connect(server.maintenance_database()) as session:
        assert drop_leftovers(session, server.connect) == ((name,), ())


def test_a_restore_that_fails_behind_them_leaves_nothing(
    repo: Repository, subscriber: Database
) -> None:
    subscriber.psql(
        "CREATE TABLE log (a int); CREATE FUNCTION noted() RETURNS int LANGUAGE plpgsql AS"
        " $$ BEGIN INSERT INTO public.log VALUES (1); RETURN 1; END $$;"
        "CREATE MATERIALIZED VIEW seen AS SELECT public.noted()"
    )
    server = server_of(subscriber)
    snapshot = commit_database(repo, server)
    with pytest.raises(RestoreFailed, match=r"public\.log"):
        restore_now(repo, snapshot, server)
    assert databases_like(subscriber, f"{subscriber.name}%") == [subscriber.name]


def test_one_that_is_disabled_forbids_no_restore_and_no_undo(
    repo: Repository, subscriber: Database
) -> None:
    server = server_of(subscriber)
    snapshot = commit_database(repo, server)
    for _ in range(2):
        plan = plan_restore(repo, snapshot, server, RestoreOptions(discard_old=True))
        assert plan.refusals == ()
        assert any("news" in w and "stay with the replaced" in w for w in plan.warnings)
        assert any("come back disabled: news" in w for w in plan.warnings)
        report = restore_now(repo, snapshot, server, RestoreOptions(discard_old=True))
        assert not any("could not be dropped" in text for text in report.warnings)
        assert subscriber.psql(STATE) == DISABLED
    (kept,) = databases_like(subscriber, f"{subscriber.name}\\_\\_snap\\_%")
    assert Database(subscriber.cluster, kept).psql(STATE) == DISABLED
    undo(repo, plan_undo(repo, server, LABEL), server)
    assert subscriber.psql(STATE) == DISABLED
    discard(repo, server, LABEL)
    assert databases_like(subscriber, f"{subscriber.name}%") == [subscriber.name]


def test_one_that_is_enabled_forbids_a_restore_and_the_statements_named_are_enough(
    repo: Repository, subscriber: Database
) -> None:
    server = server_of(subscriber)
    snapshot = commit_database(repo, server)
    subscriber.psql("ALTER SUBSCRIPTION news ENABLE")
    with pytest.raises(TargetRefused, match="write to the database: news") as caught:
        restore_now(repo, snapshot, server)
    statements = caught.value.hint.removeprefix("In that database: ")
    assert statements == (
        'ALTER SUBSCRIPTION "news" DISABLE; ALTER SUBSCRIPTION "news" SET (slot_name = NONE);'
        ' DROP SUBSCRIPTION "news";'
    )
    # As psql -f runs them, one by one.
    subscriber.psql(statements.replace("; ", ";\n"))
    restore_now(repo, snapshot, server)
    assert subscriber.psql(STATE) == DISABLED


def test_a_kept_database_whose_subscription_was_enabled_is_not_dropped(
    repo: Repository, subscriber: Database
) -> None:
    server = server_of(subscriber)
    restore_now(repo, commit_database(repo, server), server)
    (kept,) = databases_like(subscriber, f"{subscriber.name}\\_\\_snap\\_%")
    Database(subscriber.cluster, kept).psql("ALTER SUBSCRIPTION news ENABLE")
    with pytest.raises(RestoreFailed, match="cannot be dropped") as caught:
        discard(repo, server, LABEL)
    assert 'ALTER SUBSCRIPTION "news" DISABLE;' in caught.value.hint


def test_a_role_that_may_not_make_them_is_told_before_anything_is_loaded(
    repo: Repository, subscriber: Database
) -> None:
    role = new_name("restorer")
    subscriber.psql(FORBIDS_ALL)
    snapshot = commit_database(repo, server_of(subscriber))
    subscriber.psql(
        f"ALTER EVENT TRIGGER forbid DISABLE; CREATE ROLE {role} LOGIN CREATEDB;"
        f" GRANT pg_read_all_data TO {role}"
    )
    try:
        server = server_of(subscriber, user=role)
        plan = plan_restore(repo, snapshot, server, RestoreOptions(to=new_name("copy")))
        found = {problem.message: problem.hint for problem in plan.refusals}
        hint = found[f"the role {role} may not make subscriptions: news"]
        assert ("pg_create_subscription" in hint) == (subscriber.cluster.major >= 16)
        assert found[f"the role {role} may not make event triggers: forbid"] == (
            "Connect as a superuser."
        )
    finally:
        subscriber.psql(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_one_that_keeps_dead_rows_makes_the_server_keep_none_for_a_drill(
    repo: Repository, own_cluster: Cluster, tmp_path: Path
) -> None:
    if own_cluster.major < 19:
        pytest.skip("retain_dead_tuples came with 19: run pytest with --pg-major 19")
    own_cluster.create_database("app")
    database = Database(own_cluster, "app")
    slots = "SELECT count(*) FROM pg_replication_slots"
    database.psql(SUBSCRIBED.format(more=", retain_dead_tuples = true"))
    server = server_of(database)
    snapshot = commit_database(repo, server)
    unsubscribe(database)
    # The server drops its slot when it starts next.
    own_cluster.stop()
    own_cluster.start()
    wait_until(lambda: database.psql(slots) == "0")
    report = drill_now(repo, snapshot, server, tmp_path)
    assert failures(report) == {}
    # So it was made without, and is told so.
    assert "SUBSCRIPTION news" in checks_of(report)["schema"].details
    assert database.psql(slots) == "0"
    plan = plan_restore(repo, snapshot, server, RestoreOptions())
    assert any("keeps all deleted rows" in warning for warning in plan.warnings)
    restore_now(repo, snapshot, server)
    assert database.psql("SELECT subretaindeadtuples FROM pg_subscription") == "t"
    wait_until(lambda: database.psql(slots) == "1")
