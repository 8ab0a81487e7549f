"""The index's schema: what the migrations build is what database/index.sql shows."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

from pgsnap.repository.index.connection import IndexConnection
from pgsnap.repository.index.index import Index
from pgsnap.repository.index.migrations import COLUMNS, SCHEMA_VERSION

GOLDEN = Path(__file__).resolve().parents[4] / "database" / "index.sql"


def schema(path: Path) -> str:
    """Return the schema as SQL, and the version as the last statement."""
    connection = sqlite3.connect(path)
    rows = connection.execute(
        "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY type DESC, name"
    ).fetchall()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    connection.close()
    statements = [sql.strip() + ";" for (sql,) in rows]
    return "\n\n".join([*statements, f"PRAGMA user_version = {version};"])


def without_comments(sql: str) -> str:
    lines = [line for line in sql.splitlines() if not line.startswith("--")]
    return "\n".join(lines).strip()


def test_the_migrations_build_what_index_sql_shows(tmp_path: Path) -> None:
    Index(tmp_path / "index.sqlite").close()
    built = schema(tmp_path / "index.sqlite")
    # After a migration was added on purpose: paste this into database/index.sql.
    assert without_comments(GOLDEN.read_text("utf-8")) == built


def test_index_sql_makes_an_index_that_is_used_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    connection = sqlite3.connect(path)
    connection.executescript(GOLDEN.read_text("utf-8"))
    connection.close()
    index = Index(path)
    assert index.packs() == {}
    assert index.known([bytes(32)]) == set()
    assert index.newest(None) == []
    index.close()
    assert not Path(f"{path}.damaged").exists()


def test_an_index_whose_migration_was_killed_before_its_version_is_finished(
    tmp_path: Path,
) -> None:
    path = tmp_path / "index.sqlite"
    Index(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 0")
    connection.close()
    Index(path).close()
    assert schema(path).endswith(f"PRAGMA user_version = {SCHEMA_VERSION};")
    assert not Path(f"{path}.damaged").exists()


def test_an_open_index_has_its_current_version_without_the_migration_machinery(
    tmp_path: Path,
) -> None:
    """sqlite_utils takes longer to import than `snap log` may take."""
    Index(tmp_path / "index.sqlite").close()
    child = os.fork()
    if child == 0:
        import sys

        sys.modules["sqlite_utils"] = None  # type: ignore[assignment]
        try:
            Index(tmp_path / "index.sqlite").close()
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_the_columns_that_an_open_index_is_compared_with_are_those_of_its_schema(
    tmp_path: Path,
) -> None:
    with contextlib.closing(IndexConnection(tmp_path / "index.sqlite")) as made:
        found = {
            name: ", ".join(f"{column} {kind}" for _, column, kind, *_ in columns)
            for (name,) in made.query("SELECT name FROM sqlite_schema WHERE type = 'table'")
            if (columns := made.query(f"PRAGMA table_xinfo({name})"))
            and name != "_sqlite_migrations"
        }
    assert found == COLUMNS
