"""What extensions keep in tables and sequences that pg_dump leaves out."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgsnap.model import SectionKind, Verdict
from pgsnap.repository.repository import Repository
from pgsnap.sessions.base import ident
from pgsnap.sources.postgres import PostgresSource
from pgsnap.workflows.commit.commit import commit
from pgsnap.workflows.diff.diff import diff
from pgsnap.workflows.history.cat import cat
from pgsnap.workflows.restore.plan import RestoreOptions, plan_restore
from pgsnap.workflows.watch.doctor import look_at_server
from support.restoring.clients import LABEL, commit_database, restore_now, server_of
from support.restoring.drilling import checks_of, drill_now, failures
from support.servers.databases import Database, is_volatile, new_name
from support.servers.extensions import QUEUE, add_extension


@pytest.fixture
def extension(database: Database) -> str:
    """An extension that was used: its name, which is its schema's too."""
    name = add_extension(database.cluster)
    database.psql(
        f'CREATE EXTENSION "{name}";'
        f"INSERT INTO \"{name}\".job (what) VALUES ('a'), ('b'), ('c');"
        f"SELECT nextval('\"{name}\".\"odd.one''s\"') FROM generate_series(1, 5)"
    )
    return name


def write(database: Database, extension: str) -> str:
    """Add a job, as the extension's users do; return its key."""
    return database.psql(f"INSERT INTO \"{extension}\".job (what) VALUES ('d') RETURNING id")


def test_the_sequences_of_an_extension_go_on_where_they_stood(
    repo: Repository, database: Database, extension: str
) -> None:
    server = server_of(database)
    snapshot = commit_database(repo, server)
    plan = plan_restore(repo, snapshot, server, RestoreOptions())
    assert list(plan.extension_sequences.values()) == [(3, True), (5, True)]
    report = restore_now(repo, snapshot, server)
    assert report.warnings == ()
    assert write(database, extension) == "4"
    assert database.psql(f"SELECT nextval('\"{extension}\".\"odd.one''s\"')") == "6"
    assert database.psql(f'SELECT last_value, is_called FROM "{extension}".unused') == "1|f"


def test_they_are_no_part_of_the_dump_and_of_its_root_yet_of_the_contents(
    repo: Repository, database: Database, extension: str
) -> None:
    server = server_of(database)
    first = commit(repo, PostgresSource(server), database=LABEL, message="first")
    text = b"".join(cat(repo, first.snapshot_id)).splitlines(keepends=True)
    assert b"".join(line for line in text if not is_volatile(line)) == database.dump()
    database.psql(f"SELECT nextval('\"{extension}\".\"odd.one''s\"')")
    again = commit(
        repo, PostgresSource(server), database=LABEL, message="again", skip_unchanged=True
    )
    assert (again.recorded, again.unchanged) == (True, False)
    assert again.snapshot.root == first.snapshot.root
    report = diff(repo, first.snapshot_id, again.snapshot_id)
    assert [(found.before, found.after) for found in report.sequences] == [(5, 6)]
    live = diff(repo, first.snapshot_id, PostgresSource(server))
    assert live.sequences == report.sequences
    same = commit(repo, PostgresSource(server), database=LABEL, message="x", skip_unchanged=True)
    assert (same.recorded, same.unchanged) == (False, True)


def test_a_database_without_such_sequences_is_stored_as_ever(
    repo: Repository, database: Database
) -> None:
    name = add_extension(database.cluster)
    database.psql(f'CREATE EXTENSION "{name}"')
    made = commit(repo, PostgresSource(server_of(database)), database=LABEL, message="unused")
    kinds = {section.name.kind for section in repo.sections(made.snapshot)}
    assert SectionKind.EXTENSION_SEQUENCES not in kinds
    assert made.snapshot.extension_sequences_root is None


def test_rows_that_no_dump_holds_are_told_by_all_who_could_know(
    repo: Repository, database: Database, extension: str, tmp_path: Path
) -> None:
    server = server_of(database)
    commit_database(repo, server)
    assert repo.snapshot(repo.newest(LABEL)[0]).origin.extension_members == ()
    database.psql(f"INSERT INTO \"{extension}\".log (what) VALUES ('x')")
    snapshot = commit_database(repo, server)
    (member,) = repo.snapshot(snapshot).origin.extension_members
    assert (member.extension, member.schema, member.name) == (extension, extension, "log")
    plan = plan_restore(repo, snapshot, server, RestoreOptions())
    told = [warning for warning in plan.warnings if f"{extension}.log" in warning]
    assert len(told) == 1
    (tmp_path / "checks").mkdir()
    report = drill_now(repo, snapshot, server, tmp_path)
    assert report.passed
    assert any("not proven" in notice and f"{extension}.log" in notice for notice in report.notices)
    steps = [step for step in look_at_server(server) if step.check == "extensions"]
    assert [(step.verdict, f"{extension}.log" in step.reason) for step in steps] == [
        (Verdict.WARNED, True)
    ]


def test_what_its_script_puts_in_is_not_told_and_what_changed_of_it_is(
    repo: Repository, database: Database, extension: str
) -> None:
    server = server_of(database)
    assert repo.snapshot(commit_database(repo, server)).origin.extension_members == ()
    restore_now(repo, repo.newest(LABEL)[0], server)
    assert repo.snapshot(commit_database(repo, server)).origin.extension_members == ()
    database.psql(f"UPDATE \"{extension}\".kind SET word = 'post' WHERE id = 1")
    (member,) = repo.snapshot(commit_database(repo, server)).origin.extension_members
    assert (member.name, member.is_known) == ("kind", True)


def test_what_cannot_be_looked_into_is_told_and_stops_no_commit(
    repo: Repository, database: Database, extension: str
) -> None:
    role = new_name("reader")
    database.psql(
        f"CREATE ROLE {role} LOGIN;"
        f'GRANT USAGE ON SCHEMA "{extension}" TO {role};'
        f'GRANT SELECT ON "{extension}".job, "{extension}".job_id_seq TO {role}'
    )
    try:
        snapshot = commit_database(repo, server_of(database, user=role))
    finally:
        database.psql(f"DROP OWNED BY {role}; DROP ROLE {role}")
    members = repo.snapshot(snapshot).origin.extension_members
    assert {(member.kind, member.is_known) for member in members} == {
        ("table", False),
        ("sequence", False),
    }
    assert {member.name for member in members} >= {"log", "kind", "odd.one's"}
    (section,) = [
        found
        for found in repo.sections(repo.snapshot(snapshot))
        if found.name.kind is SectionKind.EXTENSION_SEQUENCES
    ]
    text = b"".join(cat(repo, snapshot, sections=[str(section.name)])).decode()
    assert f"setval('{extension}.job_id_seq', 3, true)" in text


def test_a_table_that_is_locked_holds_no_commit_back(
    repo: Repository, database: Database, extension: str
) -> None:
    with server_of(database).connect() as session:
        session.execute(f"BEGIN; LOCK TABLE {ident(extension)}.log")
        snapshot = commit_database(repo, server_of(database))
        session.execute("ROLLBACK")
    members = repo.snapshot(snapshot).origin.extension_members
    assert [(member.name, member.is_known) for member in members] == [("log", False)]


def test_another_version_of_the_extension_without_the_sequence_is_told(
    repo: Repository, database: Database, extension: str
) -> None:
    server = server_of(database)
    snapshot = commit_database(repo, server)
    without = "\n".join(line for line in QUEUE.splitlines() if "odd.one" not in line)
    add_extension(database.cluster, without, version="2.0", name=extension)
    report = restore_now(repo, snapshot, server)
    assert [f'{extension}."odd.one\'s"' in warning for warning in report.warnings] == [True]
    assert write(database, extension) == "4"


def test_a_drill_fails_where_such_a_sequence_does_not_come_back(
    repo: Repository, database: Database, extension: str, tmp_path: Path
) -> None:
    server = server_of(database)
    snapshot = commit_database(repo, server)
    without = "\n".join(line for line in QUEUE.splitlines() if "odd.one" not in line)
    add_extension(database.cluster, without, name=extension)
    report = drill_now(repo, snapshot, server, tmp_path)
    assert "sequences" in failures(report)
    assert "odd.one" in checks_of(report)["sequences"].reason


def test_what_was_added_to_an_extension_is_told_by_a_drill(
    repo: Repository, database: Database, tmp_path: Path
) -> None:
    database.psql(
        "CREATE EXTENSION citext; CREATE FUNCTION mine(a int) RETURNS int LANGUAGE sql AS"
        " 'SELECT 1'; ALTER EXTENSION citext ADD FUNCTION mine(int)"
    )
    server = server_of(database)
    snapshot = commit_database(repo, server)
    (notice,) = drill_now(repo, snapshot, server, tmp_path).notices
    assert "not restored" in notice
    assert "function public.mine(integer) (of citext)" in notice
    database.psql("ALTER EXTENSION citext DROP FUNCTION mine(int)")
    assert drill_now(repo, commit_database(repo, server), server, tmp_path).notices == ()
