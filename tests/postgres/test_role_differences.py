"""Roles that changed since the snapshot are told and left alone."""

from __future__ import annotations

from pathlib import Path

from pgsnap.workflows.restore.plan import RestoreOptions, plan_restore
from support.restoring.clients import commit_database, new_repository, restore_now, server_of
from support.servers.databases import Database


def test_roles_that_are_not_as_they_were_are_told_and_stay(
    tmp_path: Path, database: Database
) -> None:
    owner, other = f"owner_{database.name}", f"other_{database.name}"
    database.psql(
        f"CREATE ROLE {owner} LOGIN CREATEDB CONNECTION LIMIT 5 PASSWORD 'NOLOGIN secret';"
        f"CREATE ROLE {other} LOGIN; CREATE ROLE group_{other}; GRANT group_{other} TO {owner};"
        f"ALTER ROLE {owner} SET application_name TO 'a WITH NOCREATEDB';"
        f"CREATE TABLE t (a int); ALTER TABLE t OWNER TO {owner}; GRANT SELECT ON t TO {other}"
    )
    server = server_of(database)
    with new_repository(tmp_path / "repo") as repo:
        snapshot = commit_database(repo, server)
        options = RestoreOptions(to=f"{database.name}_copy")

        def told() -> list[str]:
            warnings = plan_restore(repo, snapshot, server, options).warnings
            return [warning for warning in warnings if warning.startswith("the role ")]

        try:
            assert told() == []
            database.psql(
                f"ALTER ROLE {owner} NOLOGIN CONNECTION LIMIT 6 PASSWORD 'new';"
                f"REVOKE group_{other} FROM {owner}; GRANT {other} TO {owner}"
            )
            (words,) = told()
            assert words == (
                f"the role {owner} differs from the snapshot's and stays as it is: NOLOGIN (was"
                f" LOGIN), CONNECTION LIMIT 6 (was 5), is no member of group_{other}, is a member"
                f" of {other} now"
            )
            restore_now(repo, snapshot, server, options)
            attributes = f"SELECT rolcanlogin, rolconnlimit FROM pg_roles WHERE rolname = '{owner}'"
            assert database.psql(attributes) == "f|6"
        finally:
            database.cluster.psql(f'DROP DATABASE IF EXISTS "{options.to}"')
            database.psql(f"DROP TABLE t; DROP ROLE {owner}, {other}, group_{other}")
