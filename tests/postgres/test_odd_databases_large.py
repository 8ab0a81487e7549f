"""Databases with very many or very large things: they come back, in bounded memory.

`make test` takes hundreds, `make test-system` a share of very many, `make test-long` all of them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pgsnap.cluster.binaries import Binaries
from pgsnap.cluster.cluster import Cluster
from pgsnap.repository.repository import Repository
from support.dumps.round_trips import round_trip
from support.running.commandline import SOURCE
from support.servers.databases import Database

MEMORY_BYTES_MAX = 256 * 1024 * 1024
MIB = 1024 * 1024
SHARE = int(os.environ.get("SNAP_SHARE", "10"))
# pg_dump locks every table at once, and each needs a place in the server's lock table.
LOCKS = {"max_locks_per_transaction": "2048", "shared_buffers": "64MB", "max_connections": "30"}

TABLES = (
    "SELECT format('CREATE TABLE t_%s (id int PRIMARY KEY, note text);"
    " INSERT INTO t_%s VALUES (%s, ''n'')', g, g, g) FROM generate_series(1, {count}) g \\gexec\n"
)
PARTITIONS = (
    "CREATE TABLE parts (day int, note text) PARTITION BY LIST (day);\n"
    "SELECT format('CREATE TABLE parts_%s PARTITION OF parts FOR VALUES IN (%s)', g, g)"
    " FROM generate_series(1, {count}) g \\gexec\n"
    "INSERT INTO parts SELECT g, 'n' FROM generate_series(1, {count}) g;"
)
LARGE_OBJECTS = (
    "SELECT count(lo_from_bytea(0, convert_to('object ' || g, 'UTF8')))"
    " FROM generate_series(1, {count}) g"
)
MANY = {"tables": TABLES, "partitions": PARTITIONS, "large objects": LARGE_OBJECTS}


@pytest.fixture
def roomy(binaries: Binaries) -> Iterator[Database]:
    """A database on a server with room for many locks."""
    with Cluster(binaries, fsync=False, settings=LOCKS) as cluster:
        cluster.create_database("many")
        yield Database(cluster, "many")


def assert_many_come_back(repo: Repository, database: Database, kind: str, count: int) -> None:
    database.psql(MANY[kind].format(count=count))
    started = time.monotonic()
    with round_trip(repo, database) as trip:
        snapshot = repo.snapshot(trip.snapshot)
        assert kind == "large objects" or snapshot.table_count >= count
        assert snapshot.plain_bytes > 50 * count
        # Shown by pytest -rP: nothing is asserted of speed.
        print(f"{count} {kind}: {snapshot.plain_bytes} bytes, {time.monotonic() - started:.0f} s")


@pytest.mark.parametrize("kind", MANY)
def test_hundreds_of_things_come_back(repo: Repository, roomy: Database, kind: str) -> None:
    assert_many_come_back(repo, roomy, kind, 300)


@pytest.mark.system
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("kind", "count"), [("tables", 20_000), ("partitions", 5_000), ("large objects", 100_000)]
)
def test_very_many_things_come_back(
    repo: Repository, roomy: Database, kind: str, count: int
) -> None:
    assert_many_come_back(repo, roomy, kind, count // SHARE)


# -- memory ----------------------------------------------------------------------------------------

SNAP = """
import sys
from pgsnap.cli import main
code = main(sys.argv[1:])
peak = [line for line in open("/proc/self/status") if line.startswith("VmHWM:")]
print(int(peak[0].split()[1]) * 1024, file=sys.stderr)
sys.exit(code)
"""


def snap(folder: Path, database: Database, *arguments: str) -> int:
    """Run snap as a process of its own; return the most memory that it ever had, in bytes."""
    bindir = str(database.cluster.binaries.bindir)
    done = subprocess.run(
        [sys.executable, "-c", SNAP, *arguments],
        env={
            **database.cluster.environment(),
            "PATH": os.pathsep.join([bindir, os.environ["PATH"]]),
            "PYTHONPATH": str(SOURCE),
            "DATABASE_URL": database.dsn,
            "SNAP_REPO": str(folder / "repo"),
            "HOME": str(folder),
        },
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stderr.splitlines()[-1])


@pytest.mark.timeout(600)
def test_a_row_of_200_mb_takes_no_more_memory_than_others(
    tmp_path: Path, database: Database
) -> None:
    # 100 MiB of each as text; a bytea has two digits for each byte.
    text = f"repeat(md5('1') || E'\\\\n', {100 * MIB // 34 + 1})"
    binary = f"decode(repeat(md5('1'), {100 * MIB // 32}), 'hex')"
    database.psql(
        f"CREATE TABLE big (id int, v text, b bytea); INSERT INTO big SELECT 1, {text}, {binary}"
    )
    digest = "SELECT length(v), md5(v), length(b), md5(b) FROM big"
    before = database.psql(digest)
    snap(tmp_path, database, "init")
    used = {"commit": snap(tmp_path, database, "commit", "-m", "big")}
    used["again"] = snap(tmp_path, database, "commit", "-m", "again")
    used["cat"] = snap(tmp_path, database, "cat", "latest")
    copy = Database(database.cluster, f"{database.name}_copy")
    try:
        used["restore"] = snap(tmp_path, database, "restore", "latest", "--to", copy.name, "--yes")
        assert copy.psql(digest) == before
    finally:
        database.cluster.drop_database(copy.name)
    print({name: f"{peak // MIB} MiB" for name, peak in used.items()}, before)
    assert max(used.values()) < MEMORY_BYTES_MAX, used
