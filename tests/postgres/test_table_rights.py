"""A table comes back with the rights that the snapshot has: none more, none less, by the same
grantors."""

from __future__ import annotations

import pytest

from pgsnap.errors import TargetRefused
from pgsnap.repository.repository import Repository
from support.restoring.clients import (
    commit_database,
    plan_of_tables,
    server_of,
    tables_now,
)
from support.servers.databases import Database

# Every right on the tables of a schema, their columns and their sequences, by the names that
# they had before a restore.
RIGHTS = r"""
WITH made AS (
    SELECT c.oid, regexp_replace(c.relname, '__was$', '') AS name, c.relkind, c.relowner, c.relacl
    FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'S')
      AND c.relname !~ '__replaced_' AND (c.relname ~ '__was$') = {beside})
SELECT name, '' AS part, a.grantee::regrole, a.grantor::regrole, a.privilege_type, a.is_grantable
FROM made, aclexplode(coalesce(relacl,
    acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner))) a
UNION ALL
SELECT m.name, t.attname, a.grantee::regrole, a.grantor::regrole, a.privilege_type, a.is_grantable
FROM made m JOIN pg_attribute t ON t.attrelid = m.oid, aclexplode(t.attacl) a ORDER BY 1, 2, 3, 4, 5
"""


def rights(database: Database, *, beside: bool = False) -> list[str]:
    return database.psql(RIGHTS.format(beside=beside)).splitlines()


def roles(database: Database, *names: str) -> list[str]:
    """Make roles of this test's own; a cluster has them for all databases."""
    made = [f"{name}_{database.name}" for name in names]
    database.psql("".join(f"CREATE ROLE {role};" for role in made))
    return made


@pytest.mark.parametrize("replace", [False, True])
def test_default_privileges_of_the_live_database_give_nobody_a_right(
    repo: Repository, database: Database, replace: bool
) -> None:
    reader, owner = roles(database, "reader", "owner")
    database.psql(f"""
        CREATE TABLE secret (id serial PRIMARY KEY, n int GENERATED ALWAYS AS IDENTITY, token text);
        CREATE TABLE whole (a int) PARTITION BY LIST (a);
        CREATE TABLE part PARTITION OF whole DEFAULT;
        CREATE TABLE shared (a int);
        GRANT USAGE, CREATE ON SCHEMA public TO {owner};
        ALTER TABLE shared OWNER TO {owner};
        GRANT SELECT ON shared TO {reader};
        REVOKE INSERT ON shared FROM {owner};
        ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO {reader} WITH GRANT OPTION;
        ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC;
        ALTER DEFAULT PRIVILEGES GRANT USAGE ON SEQUENCES TO {reader};
        ALTER DEFAULT PRIVILEGES REVOKE ALL ON TABLES FROM CURRENT_USER;
        ALTER DEFAULT PRIVILEGES REVOKE ALL ON SEQUENCES FROM CURRENT_USER;
    """)
    before = rights(database)
    assert not [line for line in before if line.startswith("secret") and reader in line]
    server = server_of(database)
    snapshot = commit_database(repo, server)
    tables_now(repo, snapshot, server, "secret", "whole", "shared", replace=replace)
    assert rights(database, beside=not replace) == before
    if not replace:
        assert rights(database) == before


def test_every_right_comes_back_by_the_grantor_that_gave_it(
    repo: Repository, database: Database
) -> None:
    owner, middle, leaf = (f"{word}_{database.name}" for word in ("owner", "mid dle", "Leaf"))
    database.psql(f"""
        CREATE ROLE {owner}; CREATE ROLE "{middle}"; CREATE ROLE "{leaf}";
        GRANT ALL ON SCHEMA public TO {owner};
        GRANT USAGE ON SCHEMA public TO "{middle}", "{leaf}";
        CREATE TABLE t (a serial, "b,(" int);
        ALTER TABLE t OWNER TO {owner};
        GRANT SELECT, UPDATE ON t TO "{middle}" WITH GRANT OPTION;
        GRANT INSERT ("b,(") ON t TO "{middle}" WITH GRANT OPTION;
        GRANT USAGE ON SEQUENCE t_a_seq TO "{middle}" WITH GRANT OPTION;
        SET SESSION AUTHORIZATION "{middle}";
        GRANT SELECT ON t TO "{leaf}" WITH GRANT OPTION;
        GRANT INSERT ("b,(") ON t TO "{leaf}";
        GRANT USAGE ON SEQUENCE t_a_seq TO PUBLIC;
        SET SESSION AUTHORIZATION "{leaf}";
        GRANT SELECT ON t TO PUBLIC;
        RESET SESSION AUTHORIZATION;
        GRANT SELECT (a) ON t TO "{leaf}";
    """)
    before = rights(database)
    server = server_of(database)
    snapshot = commit_database(repo, server)
    tables_now(repo, snapshot, server, "t")
    assert rights(database, beside=True) == before
    database.psql("DROP TABLE t__was")
    tables_now(repo, snapshot, server, "t", replace=True)
    assert rights(database) == before
    database.psql(f'REVOKE SELECT ON t FROM "{middle}" CASCADE')
    assert not [line for line in rights(database) if f'"{leaf}"' in line and "SELECT" in line
                and not line.startswith("t|a|")]  # fmt: skip


def test_rights_that_would_not_be_those_of_the_snapshot_refuse_it(
    repo: Repository, database: Database
) -> None:
    (reader,) = roles(database, "reader")
    database.psql("CREATE TABLE t (a int); INSERT INTO t VALUES (1)")
    snapshot = commit_database(repo, server_of(database))
    database.psql(f"""
        CREATE FUNCTION gives() RETURNS event_trigger LANGUAGE plpgsql AS $$
        DECLARE made record; BEGIN
          FOR made IN SELECT * FROM pg_event_trigger_ddl_commands()
              WHERE object_type = 'table' LOOP
            EXECUTE format('GRANT SELECT ON %s TO {reader}', made.object_identity);
          END LOOP; END $$;
        CREATE EVENT TRIGGER gives ON ddl_command_end WHEN TAG IN ('ALTER TABLE')
          EXECUTE FUNCTION gives();
    """)
    before = database.dump()
    with pytest.raises(TargetRefused, match="rights") as refused:
        tables_now(repo, snapshot, server_of(database), "t", replace=True)
    assert f"SELECT to {reader}" in f"{refused.value.message} {refused.value.detail}"
    assert database.dump() == before


def test_missing_roles_are_named_by_the_plan_with_what_makes_them(
    repo: Repository, database: Database
) -> None:
    owner, reader = roles(database, "owner", "reader")
    database.psql(
        f"CREATE TABLE t (a int); ALTER TABLE t OWNER TO {owner}; GRANT SELECT ON t TO {reader}"
    )
    snapshot = commit_database(repo, server_of(database))
    database.psql(f"DROP TABLE t; DROP ROLE {owner}; DROP ROLE {reader}")
    plan = plan_of_tables(repo, snapshot, server_of(database), "t", replace=True)
    with pytest.raises(TargetRefused) as refused:
        plan.check()
    for role in (owner, reader):
        assert f'CREATE ROLE "{role}"' in refused.value.hint
    assert "--create-roles" not in refused.value.hint
