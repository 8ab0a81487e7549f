"""pgbench at full rate meanwhile: commits are consistent, and nobody sees half a restore."""

from __future__ import annotations

import itertools
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest

from pgsnap.workflows.restore.plan import RestoreOptions
from support.restoring.clients import LABEL, commit_database, new_repository, restore_now, server_of
from support.servers.databases import Database, new_name

# Each transaction of pgbench moves an amount in all three and notes it in the fourth.
SUMS = (
    "SELECT (SELECT coalesce(sum(abalance), 0) FROM pgbench_accounts),"
    " (SELECT coalesce(sum(tbalance), 0) FROM pgbench_tellers),"
    " (SELECT coalesce(sum(bbalance), 0) FROM pgbench_branches),"
    " (SELECT coalesce(sum(delta), 0) FROM pgbench_history),"
    " (SELECT count(*) FROM pgbench_accounts)"
)


def pgbench(database: Database, *options: str) -> list[str]:
    program = Path(database.cluster.binaries.bindir) / "pgbench"
    if not program.exists():
        pytest.skip("pgbench is missing: apt-get install postgresql-contrib")
    return [str(program), "-n", *options, database.dsn]


@contextmanager
def load(database: Database, *, until_ended: bool) -> Iterator[subprocess.Popen[bytes]]:
    """Run pgbench with four clients; *until_ended*: it may lose its connections."""
    child = subprocess.Popen(
        pgbench(database, "-c", "4", "-T", "600"),
        env=database.cluster.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        while database.psql("SELECT count(*) > 100 FROM pgbench_history") != "t":
            assert child.poll() is None
            time.sleep(0.05)
        yield child
        assert until_ended or child.poll() is None
    finally:
        child.kill()
        child.communicate()


@dataclass
class Watcher:
    """A client that connects again and adds everything up, again and again."""

    dsn: str
    seen: list[tuple[float, tuple[int, ...]]] = field(default_factory=list)
    refused: int = 0
    ended: threading.Event = field(default_factory=threading.Event)

    def watch(self) -> None:
        while not self.ended.is_set():
            try:
                with psycopg.connect(self.dsn, connect_timeout=30) as connection:
                    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
                    row = connection.execute(SUMS).fetchone()  # type: ignore[arg-type]
            except psycopg.OperationalError:
                # Ended by the swap, or in the instant between two names.
                self.refused += 1
                continue
            assert row is not None
            self.seen.append((time.monotonic(), tuple(int(value) for value in row)))

    @contextmanager
    def running(self, threads: int) -> Iterator[None]:
        made = [threading.Thread(target=self.watch) for _ in range(threads)]
        for thread in made:
            thread.start()
        try:
            yield
        finally:
            self.ended.set()
            for thread in made:
                thread.join()

    def longest_gap(self) -> float:
        times = sorted(moment for moment, _ in self.seen)
        return max(after - before for before, after in itertools.pairwise(times))


@pytest.fixture
def bank(database: Database) -> Database:
    subprocess.run(
        pgbench(database, "-i", "-q", "-s", "1"),
        env=database.cluster.environment(),
        check=True,
        capture_output=True,
    )
    return database


def test_a_commit_under_full_load_is_consistent(bank: Database, tmp_path: Path) -> None:
    copy = Database(bank.cluster, new_name("copy"))
    with new_repository(tmp_path / "repository") as repo:
        with load(bank, until_ended=False):
            snapshots = [commit_database(repo, server_of(bank)) for _ in range(2)]
        counts = []
        for snapshot in snapshots:
            restore_now(repo, snapshot, server_of(bank), RestoreOptions(to=copy.name))
            accounts, tellers, branches, history, count = copy.psql(SUMS).split("|")
            assert accounts == tellers == branches == history
            assert count == "100000"
            counts.append(int(copy.psql("SELECT count(*) FROM pgbench_history")))
            copy.cluster.drop_database(copy.name)
        assert 0 < counts[0] < counts[1]


def test_a_restore_under_full_load_shows_nobody_half_of_it(
    bank: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = server_of(bank)
    with new_repository(tmp_path / "repository") as repo:
        with load(bank, until_ended=False):
            snapshot = commit_database(repo, server)
        watcher = Watcher(bank.dsn)
        with load(bank, until_ended=True) as child, watcher.running(2):
            report = restore_now(repo, snapshot, server)
            with suppress(subprocess.TimeoutExpired):
                child.wait(10)
            after = len(watcher.seen) + 4
            while len(watcher.seen) < after:
                time.sleep(0.02)
        assert repo.snapshot(snapshot).database == LABEL
    assert watcher.seen
    for _, (accounts, tellers, branches, history, count) in watcher.seen:
        assert accounts == tellers == branches == history
        assert count == 100_000
    restored = bank.psql(SUMS)
    assert watcher.seen[-1][1] == tuple(int(value) for value in restored.split("|"))
    with capsys.disabled():
        print(
            f"\npgbench: unreachable for {report.unreachable_seconds:.3f} s by its own clock;"
            f" longest time between two answers {watcher.longest_gap():.3f} s,"
            f" {watcher.refused} connections ended or refused"
        )
