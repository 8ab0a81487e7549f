"""What tells rows apart is read where rows differ, and once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pgsnap.progress import SILENT
from pgsnap.repository.repository import Repository
from pgsnap.workflows.diff.definitions import keys_of, respelled_columns
from pgsnap.workflows.diff.diff import stored_version
from pgsnap.workflows.diff.report import TableName, Version
from pgsnap.workflows.diff.rows import PassingTables, RowRules
from pgsnap.workflows.diff.source_side import read_source
from support.dumps.scripted import Dump, ScriptedSource, dump, rows, table
from support.repositories.made import make, record


class Reads:
    """Counts how often the keys and the respelled columns of a snapshot are read."""

    def __init__(self, version: Version) -> None:
        self._version = version
        self.keys_read = self.columns_read = 0

    def keys(self) -> Mapping[TableName, tuple[str, ...]]:
        self.keys_read += 1
        return keys_of(self._version)

    def respelled(self) -> Mapping[TableName, frozenset[str]]:
        self.columns_read += 1
        return respelled_columns(self._version)


def reads(folder: Path, before: Dump, after: Dump) -> tuple[int, int, int]:
    """Compare; return how many tables had rows to compare, and what `Reads` counts."""
    with Repository.open(make(folder)) as repo:
        version = stored_version(repo, record(repo, before).snapshot_id)
        counts = Reads(version)
        rules = RowRules(counts.keys, counts.respelled)
        with PassingTables(repo.chunk_store.reader, version, rules, {}) as passing:
            read_source(repo.chunk_store, version, ScriptedSource(after), passing.open, SILENT)
            return len(passing.finish()), counts.keys_read, counts.columns_read


def tables(count: int, *, seed: int = 1) -> Dump:
    return dump(*(table("public", f"t{one}", rows(20, seed=seed + one)) for one in range(count)))


def test_what_tells_rows_apart_is_not_read_where_no_rows_differ(tmp_path: Path) -> None:
    assert reads(tmp_path / "r", tables(3), tables(3)) == (0, 0, 0)


def test_what_tells_rows_apart_is_read_once_for_all_tables(tmp_path: Path) -> None:
    assert reads(tmp_path / "r", tables(3), tables(3, seed=9)) == (3, 1, 1)
