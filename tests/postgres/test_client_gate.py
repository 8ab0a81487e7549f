"""Which client works with which server: every pair that is on this host."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pgsnap.cluster.binaries import MAJORS, find_all
from pgsnap.cluster.cluster import Cluster
from pgsnap.errors import ToolVersion
from pgsnap.repository.repository import Repository
from pgsnap.runners.local import LocalRunner
from pgsnap.sessions.endpoint import Endpoint
from pgsnap.sessions.server import Server
from pgsnap.targets.dumptext import PREAMBLE_SETS_SINCE, unknown_sets
from pgsnap.workflows.restore.plan import RestoreOptions, plan_restore
from support.documents.spec import tables
from support.dumps.round_trips import round_trip
from support.servers.databases import Database

TOOLS = ("pg_dump", "pg_dumpall", "psql")


@pytest.fixture(params=MAJORS)
def client(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> LocalRunner:
    """A host that has the client tools of one major version only."""
    found = find_all().get(request.param)
    if found is None:
        pytest.skip(f"needs PostgreSQL {request.param}: run `make test-all-versions`")
    monkeypatch.setenv("PATH", "/nonexistent")
    return LocalRunner(found.bindir, root=tmp_path)


def major_of(client: LocalRunner) -> int:
    return client.find("psql").major


def test_the_gate_between_client_and_server(cluster: Cluster, client: LocalRunner) -> None:
    server = Server(Endpoint.parse(cluster.dsn(), {}), client)
    for name in TOOLS:
        if major_of(client) == cluster.major:
            assert server.tool(name).major == cluster.major
            continue
        with pytest.raises(ToolVersion) as caught:
            server.tool(name)
        error = caught.value
        assert f"version {major_of(client)}, the server is version {cluster.major}" in error.message
        assert f"apt install postgresql-client-{cluster.major}" in error.hint
        if major_of(client) > cluster.major:
            assert "--allow-newer-client" in error.hint
            assert server.tool(name, allow_newer=True).major == major_of(client)
        else:
            assert "--allow-newer-client" not in error.hint
            with pytest.raises(ToolVersion):
                server.tool(name, allow_newer=True)


def test_a_dump_by_a_newer_client_comes_back_on_the_server_it_was_made_of(
    repo: Repository, database: Database, client: LocalRunner
) -> None:
    if major_of(client) <= database.cluster.major:
        pytest.skip("this client is not newer than the server")
    database.psql(
        "CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, note varchar(9)"
        " CHECK (note IN ('a', 'b')));"
        "INSERT INTO t (note) SELECT 'a' FROM generate_series(1, 5000);"
        "SELECT lo_from_bytea(4711, 'large'); CREATE VIEW v AS SELECT * FROM t"
    )
    server = Server(Endpoint.parse(database.dsn, {}), client)
    with round_trip(repo, database, server=server, allow_newer=True) as trip:
        options = RestoreOptions(to="elsewhere", allow_newer_client=True)
        plan = plan_restore(repo, trip.snapshot, server, options)
    left_out = [name.decode() for name in unknown_sets(database.cluster.major)]
    assert all(any(f"SET {name}" in text for text in plan.warnings) for name in left_out)


def test_every_preamble_of_a_newer_client_is_understood(
    database: Database, client: LocalRunner
) -> None:
    if major_of(client) < database.cluster.major:
        pytest.skip("an older client does not dump a newer server")
    server = Server(Endpoint.parse(database.dsn, {}), client)
    child = server.start_tool(server.tool("pg_dump", allow_newer=True), ["--schema-only"])
    text = b""
    while block := child.read(1 << 16):
        text += block
    assert (child.wait(), child.stderr_text()) == (0, "")
    set_here = set(re.findall(rb"^SET (\w+) = ", text, re.M))
    known = set(database.psql("SELECT name FROM pg_settings").encode().split())
    assert set_here - known <= set(unknown_sets(database.cluster.major))


def test_the_list_of_preamble_settings_is_the_one_of_the_format() -> None:
    (table,) = tables("Client versions")
    listed = {row[0].strip("`").encode(): int(row[1]) for row in table}
    assert listed == PREAMBLE_SETS_SINCE
