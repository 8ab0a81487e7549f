"""An exported file restores without snap, and comes back with snap."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from datetime import UTC
from pathlib import Path

import pytest

from pgsnap.model import SectionKind
from pgsnap.repository.repository import Repository
from pgsnap.workflows.commit.dump_files import Dating
from pgsnap.workflows.commit.import_dumps import import_dumps, plan_import
from pgsnap.workflows.history.export import export
from pgsnap.workflows.restore.plan import RestoreOptions
from support.restoring.clients import commit_database, restore_now, server_of
from support.servers.databases import Database, new_name

READERS = {".sql": "cat", ".sql.gz": "gunzip -c", ".sql.zst": "zstd -dc"}


@pytest.fixture
def empty(sample_database: Database) -> Iterator[Database]:
    """An empty database on the server of the sample."""
    name = new_name("copy")
    sample_database.cluster.create_database(name)
    yield Database(sample_database.cluster, name)
    sample_database.cluster.drop_database(name)


def by_hand(file: Path, database: Database) -> subprocess.CompletedProcess[str]:
    """Do what a person without snap would do."""
    reader = READERS["".join(file.suffixes[-2:]) if file.suffix != ".sql" else ".sql"]
    psql = database.cluster.binaries.program("psql")
    command = f'set -o pipefail; {reader} "$1" | "$2" -X -q -v ON_ERROR_STOP=1 -d "$3"'
    return subprocess.run(
        ["bash", "-c", command, "bash", str(file), str(psql), database.dsn],
        env=database.cluster.environment(),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("ending", [".sql", ".sql.gz"])
def test_an_exported_file_restores_by_hand(
    repo: Repository, sample_database: Database, empty: Database, tmp_path: Path, ending: str
) -> None:
    snapshot = commit_database(repo, server_of(sample_database))
    report = export(repo, snapshot, tmp_path / f"shop{ending}")
    done = by_hand(report.path, empty)
    assert done.returncode == 0, done.stderr
    # Only the data is compared: checks come back with other casts the first time.
    assert data_of(repo, empty) == data_of(repo, sample_database)


def data_of(repo: Repository, database: Database) -> dict[str, bytes]:
    """Return the digest of every section of data, as a commit sees it."""
    snapshot = repo.snapshot(commit_database(repo, server_of(database)))
    kinds = (SectionKind.DATA, SectionKind.SEQUENCES, SectionKind.LARGE_OBJECTS)
    found = {str(s.name): s.digest for s in repo.sections(snapshot) if s.name.kind in kinds}
    assert len(found) > 20
    return found


def test_a_meta_command_in_an_exported_file_is_refused_by_psql(
    repo: Repository, sample_database: Database, empty: Database, tmp_path: Path
) -> None:
    snapshot = commit_database(repo, server_of(sample_database))
    file = export(repo, snapshot, tmp_path / "shop.sql").path
    lines = file.read_bytes().splitlines(keepends=True)
    position = next(i for i, line in enumerate(lines) if line.startswith(b"SET ")) + 1
    marker = tmp_path / "evil"
    lines.insert(position, b"\\! touch %s\n" % str(marker).encode())
    file.write_bytes(b"".join(lines))
    done = by_hand(file, empty)
    assert done.returncode != 0
    assert "restrict" in done.stderr
    assert not marker.exists()


def test_an_exported_file_comes_back_as_the_same_contents_and_restores(
    repo: Repository, sample_database: Database, tmp_path: Path
) -> None:
    snapshot = commit_database(repo, server_of(sample_database))
    folder = tmp_path / "backups"
    folder.mkdir()
    export(repo, snapshot, folder, zone=UTC)
    plan = plan_import([folder], Dating(UTC))
    [done] = import_dumps(repo, plan.files, database="old")
    assert done.report is not None
    original = repo.snapshot(snapshot)
    assert done.report.snapshot.root == original.root
    assert done.report.snapshot.time == original.time.replace(microsecond=0)
    # Every chunk of its tables is there already.
    assert done.report.stored_bytes < 20_000
    name = new_name("restored")
    server = server_of(sample_database)
    try:
        assert done.snapshot_id is not None
        restore_now(repo, done.snapshot_id, server, RestoreOptions(to=name))
        copy = Database(sample_database.cluster, name)
        assert data_of(repo, copy) == data_of(repo, sample_database)
    finally:
        sample_database.cluster.drop_database(name)
