"""A database of the tests' private cluster, and what tests do with one."""

from __future__ import annotations

import itertools
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pgsnap.cluster.binaries import Binaries
from pgsnap.cluster.cluster import Cluster

# What pg_dump does not pin by itself and what snap pins (docs/format.md).
PINNED_OPTIONS = (
    "-c TimeZone=UTC -c DateStyle=ISO,YMD -c IntervalStyle=postgres "
    "-c extra_float_digits=3 -c bytea_output=hex"
)

# Small, because several test processes each have a server; logical, so that tests may make slots.
TEST_SETTINGS = {
    "shared_buffers": "32MB",
    "max_connections": "40",
    "wal_level": "logical",
    "max_prepared_transactions": "4",
    "log_statement": "none",
    # Loading the compiler costs a new session more than it ever saves here.
    "jit": "off",
}

_serial = itertools.count(1)

# One object for each thing that can go wrong, the extremes of every type, and a day of changes.
_SCRIPTS = Path(__file__).resolve().parents[2] / "data" / "sample"


def new_name(stem: str = "test") -> str:
    """Return a database name that no other test of this run uses."""
    return f"{stem}_{os.getpid()}_{next(_serial)}"


def load_sample(cluster: Cluster, database: str) -> None:
    """Fill an empty database with the sample application, at 1 MB, and with the odd objects."""
    from pgsnap.demo import sample

    sample.load(cluster, database, scale=0.01)
    for name in ("corners", "values"):
        cluster.psql(_script(name), database, variables={"major": str(cluster.major)})


def daily_activity(cluster: Cluster, database: str, seed: int) -> None:
    """Make the changes of one day in the shop, about 1 % of the rows. *seed* is the day."""
    cluster.psql(_script("day"), database, variables={"seed": str(seed)})


def _script(name: str) -> str:
    return (_SCRIPTS / f"{name}.sql").read_text("utf-8")


@contextmanager
def summarizing_cluster(binaries: Binaries, **settings: str) -> Iterator[Cluster]:
    """Run a server that summarizes its WAL, where it can."""
    with Cluster(binaries, fsync=False, settings={**TEST_SETTINGS, **settings}) as made:
        if binaries.major >= 17:
            made.psql("ALTER SYSTEM SET summarize_wal = on")
            made.psql("SELECT pg_reload_conf()")
        yield made


@dataclass(frozen=True)
class Database:
    """One database of a private cluster."""

    cluster: Cluster
    name: str

    @property
    def dsn(self) -> str:
        return self.cluster.dsn(self.name)

    @property
    def tcp_dsn(self) -> str:
        """The same database by TCP, with the password in it (if the cluster listens there)."""
        return self.cluster.dsn(self.name, tcp=True)

    def psql(self, sql: str, *, user: str | None = None) -> str:
        """Run a script; return its output, unaligned."""
        return self.cluster.psql(sql, self.name, user=user)

    def dump(self, *options: str) -> bytes:
        """Return what pg_dump writes, without the lines that differ between equal databases."""
        environment = {**self.cluster.environment(), "PGOPTIONS": PINNED_OPTIONS}
        del environment["PGCLIENTENCODING"]
        done = subprocess.run(
            [self.cluster.binaries.program("pg_dump"), "-w", *options, self.cluster.dsn(self.name)],
            env=environment,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
        return b"".join(
            line for line in done.stdout.splitlines(keepends=True) if not is_volatile(line)
        )

    def restore(self, dump: bytes) -> None:
        """Feed *dump* to psql, which stops at the first error."""
        done = subprocess.run(
            [
                self.cluster.binaries.program("psql"),
                *("-X", "-w", "-q", "-v", "ON_ERROR_STOP=1", "-d", self.cluster.dsn(self.name)),
            ],
            input=dump,
            env=self.cluster.environment(),
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode("utf-8", "replace")


def is_volatile(line: bytes) -> bool:
    """Tell whether pg_dump may write this line differently for the same database."""
    return line.startswith((b"\\restrict ", b"\\unrestrict ", b"-- Dumped "))


@contextmanager
def new_database(cluster: Cluster, tables: str) -> Iterator[Database]:
    """Make a database with *tables*; drop it at the end, with those whose names begin with its."""
    name = new_name("loop")
    cluster.create_database(name)
    database = Database(cluster, name)
    database.psql(tables.format(name=name))
    yield database
    found = cluster.psql(f"SELECT datname FROM pg_database WHERE datname ~ '^{name}(_|$)'")
    for each in found.splitlines():
        cluster.psql(f"ALTER DATABASE {each} IS_TEMPLATE false")
        cluster.drop_database(each)
