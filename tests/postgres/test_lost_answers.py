"""A transaction whose answer was lost: the server knows whether it was committed."""

from __future__ import annotations

import psycopg
import pytest

from pgsnap.errors import Interrupted, RestoreFailed
from pgsnap.repository.repository import Repository
from pgsnap.runners.process import LocalChild
from pgsnap.targets.naming import application_name, new_token
from pgsnap.targets.swap.transactions import transaction_of, was_committed
from pgsnap.workflows.restore_tables.restore_rows import restore_rows
from pgsnap.workflows.restore_tables.rows_plan import RowsOptions, plan_rows
from support.restoring.clients import commit_database, server_of
from support.servers.databases import Database


@pytest.mark.parametrize("ends", ["commit", "rollback"])
def test_a_transaction_is_known_by_its_number_when_it_is_over(
    database: Database, ends: str
) -> None:
    database.psql("CREATE TABLE t (a int)")
    token = new_token()
    server = server_of(database)
    with server.connect() as session:
        assert transaction_of(session, token, database.name) is None
        with psycopg.connect(database.dsn, application_name=application_name(token)) as loader:
            loader.execute("INSERT INTO t VALUES (1)")
            number = transaction_of(session, token, database.name)
            assert number is not None
            assert not was_committed(session, number)
            getattr(loader, ends)()
        assert was_committed(session, number) is (ends == "commit")


@pytest.mark.parametrize("stop", [KeyboardInterrupt, RestoreFailed("the connection was lost")])
def test_rows_that_were_committed_are_told_to_be_there(
    repo: Repository, database: Database, monkeypatch: pytest.MonkeyPatch, stop: BaseException
) -> None:
    database.psql(
        "CREATE EXTENSION citext; CREATE TABLE job (a int); INSERT INTO job VALUES (1);"
        " ALTER EXTENSION citext ADD TABLE job; UPDATE pg_extension SET"
        " extconfig = ARRAY['job'::regclass::oid], extcondition = ARRAY['']"
        " WHERE extname = 'citext'"
    )
    snapshot = commit_database(repo, server_of(database))
    database.psql("DELETE FROM job")
    server = server_of(database)
    plan = plan_rows(repo, snapshot, server, RowsOptions((("public", "job"),)))
    real = LocalChild.wait

    def wait_and_stop(child: LocalChild, timeout: float | None = None) -> int:
        real(child, timeout)
        monkeypatch.undo()
        raise stop

    monkeypatch.setattr(LocalChild, "wait", wait_and_stop)
    with pytest.raises((Interrupted, RestoreFailed)) as told:
        restore_rows(repo, plan, server)
    assert "restored" in f"{told.value.message} {told.value.detail}"
    assert database.psql("SELECT * FROM job") == "1"
