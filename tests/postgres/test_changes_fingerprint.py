"""An equal fingerprint of the catalogs means an equal dump of the definitions."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pgsnap.cluster.cluster import Cluster
from pgsnap.errors import QueryFailed
from pgsnap.sessions.base import Session, literal
from pgsnap.sources.changes.fingerprint import database_fingerprint, globals_fingerprint
from support.restoring.clients import server_of
from support.servers.databases import PINNED_OPTIONS, Database, is_volatile

DEFINITIONS = Path(__file__).parents[1] / "data" / "definitions.sql"
# Statements that an older or a newer version does not have may be left out, but not many.
REFUSED_MAX = 6


@pytest.fixture
def role(cluster: Cluster, database: Database) -> Iterator[str]:
    name = f"r_{database.name}"
    cluster.psql(f"CREATE ROLE {name}")
    yield name
    # What it still has is in the database, which goes first.
    cluster.psql(
        f"DROP DATABASE {database.name} WITH (FORCE); CREATE DATABASE {database.name};"
        f" DROP OWNED BY {name}; DROP ROLE {name}"
    )


def statements(role: str) -> list[str]:
    text = re.sub(r"^--.*\n", "", DEFINITIONS.read_text(), flags=re.M)
    return [one.strip().replace("@role", role) for one in text.split("\n\n")]


def definitions(database: Database) -> bytes:
    return database.dump("--section=pre-data", "--section=post-data")


def globals_of(database: Database) -> bytes:
    cluster = database.cluster
    done = subprocess.run(
        [cluster.binaries.program("pg_dumpall"), "-w", "--globals-only", "-d", cluster.dsn()],
        env={**cluster.environment(), "PGOPTIONS": PINNED_OPTIONS},
        capture_output=True,
        check=True,
    )
    return b"".join(
        line
        for line in done.stdout.splitlines(keepends=True)
        if not is_volatile(line) and not line.startswith(b"-- ")
    )


def run(session: Session, sql: str) -> bool:
    try:
        session.execute(sql)
    except QueryFailed:
        return False
    return True


def test_each_statement_that_changes_the_dump_changes_the_fingerprint(
    database: Database, role: str
) -> None:
    refused, seen = [], 0
    with server_of(database).connect() as session:
        before, dump = database_fingerprint(session, ""), definitions(database)
        for sql in statements(role):
            if not run(session, sql):
                refused.append(sql)
                continue
            after, dump_after = database_fingerprint(session, ""), definitions(database)
            assert before is not None
            assert after != before or dump_after == dump, sql
            seen += after != before
            before, dump = after, dump_after
    assert len(refused) <= REFUSED_MAX, refused
    assert seen > 100


QUIET = (
    "CREATE TEMP TABLE passing (a serial PRIMARY KEY, b text CHECK (b <> ''), c int DEFAULT 4)",
    "CREATE INDEX ON pg_temp.passing (c)",
    "DROP TABLE pg_temp.passing",
    "TRUNCATE q.t",
    "INSERT INTO q.t SELECT i, 'x' FROM generate_series(1, 1000) i",
    "ANALYZE q.t",
    "VACUUM q.t",
    "VACUUM FULL q.t",
    "SELECT nextval('q.s'), setval('q.s', 77)",
    "CREATE DATABASE another_of_the_server",
    "DROP DATABASE another_of_the_server",
)


def test_what_changes_no_definition_leaves_the_fingerprint_as_it_is(database: Database) -> None:
    database.psql("CREATE SCHEMA q; CREATE TABLE q.t (id int PRIMARY KEY, a text)")
    database.psql("CREATE SEQUENCE q.s")
    with server_of(database).connect() as session:
        before = database_fingerprint(session, "")
        for sql in QUIET:
            session.execute(sql)
            assert database_fingerprint(session, "") == before, sql
        assert database_fingerprint(session, "another version") != before


GLOBALS = (
    "CREATE ROLE @role_2 LOGIN",
    "ALTER ROLE @role_2 PASSWORD 'one'",
    "ALTER ROLE @role_2 PASSWORD 'two'",
    "ALTER ROLE @role_2 CREATEDB",
    "ALTER ROLE @role_2 SET work_mem = '8MB'",
    "ALTER ROLE @role_2 VALID UNTIL '2030-01-01'",
    "GRANT @role TO @role_2",
    "GRANT @role TO @role_2 WITH ADMIN OPTION",
    "REVOKE @role FROM @role_2",
    "COMMENT ON ROLE @role_2 IS 'second'",
    "GRANT SET ON PARAMETER work_mem TO @role_2",
    "REVOKE SET ON PARAMETER work_mem FROM @role_2",
    "ALTER ROLE @role_2 RENAME TO @role_3",
    "GRANT CREATE ON TABLESPACE pg_default TO @role_3",
    "REVOKE CREATE ON TABLESPACE pg_default FROM @role_3",
    "DROP ROLE @role_3",
)


def test_each_statement_about_roles_changes_the_fingerprint_of_the_globals(
    database: Database, role: str
) -> None:
    seen = 0
    with server_of(database).connect() as session:
        before, dump = globals_fingerprint(session, ""), globals_of(database)
        for template in GLOBALS:
            if not run(session, template.replace("@role", role)):
                continue
            after, dump_after = globals_fingerprint(session, ""), globals_of(database)
            assert after != before or dump_after == dump, template
            seen += dump_after != dump
            before, dump = after, dump_after
    assert seen > 8


def test_what_the_role_cannot_read_counts_as_changed(database: Database, role: str) -> None:
    database.psql("CREATE FOREIGN DATA WRAPPER fw; CREATE SERVER srv FOREIGN DATA WRAPPER fw")
    database.psql(f"GRANT CONNECT ON DATABASE {database.name} TO {role}; ALTER ROLE {role} LOGIN")
    with server_of(database, user=role).connect() as session:
        assert database_fingerprint(session, "") is not None
        assert globals_fingerprint(session, "") is not None
        database.psql("CREATE USER MAPPING FOR PUBLIC SERVER srv OPTIONS (a 'b')")
        assert database_fingerprint(session, "") is None
        database.psql("GRANT pg_read_all_data TO " + literal(role).replace("'", '"'))
        assert database_fingerprint(session, "") is not None
        database.psql(f"REVOKE pg_read_all_data FROM {role}; DROP SERVER srv CASCADE")
        assert database_fingerprint(session, "") is not None
        database.psql("REVOKE SELECT ON pg_catalog.pg_proc FROM PUBLIC")
        assert database_fingerprint(session, "") is None
