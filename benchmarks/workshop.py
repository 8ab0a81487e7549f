"""Make the versions of a data set with a real PostgreSQL, one dump file for each.

The same seed, size and version of PostgreSQL give the same dumps, byte for byte. So nothing may
depend on time or chance: autovacuum and the background writer are off (VACUUM passes by a page that
another process has pinned), tables are scanned from their start in one process, VACUUM freezes,
which makes it wait for such a page, and a change starts when no other session is left.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import re
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from measure import Command, run
from setting import Server
from words import vocabulary

if TYPE_CHECKING:
    from data_sets import DataSet

SERVER_SETTINGS = {
    "autovacuum": "off",
    "bgwriter_lru_maxpages": "0",
    "checkpoint_timeout": "1d",
    "max_wal_size": "4GB",
    "shared_buffers": "256MB",
    "synchronize_seqscans": "off",
    "max_parallel_workers_per_gather": "0",
    "max_parallel_maintenance_workers": "0",
    "jit": "off",
    "timezone": "UTC",
}
# The order in which rows are changed must not hang on a plan, and so on ANALYZE's sample. Not for
# the whole server: foreign keys are checked by index.
IN_TABLE_ORDER = ("SET enable_indexscan = off", "SET enable_bitmapscan = off")
WORDS = 256
FIRST_DAY = datetime.date(2026, 1, 1)
MADE = "made.json"
_PLACE = re.compile(r"\{(draw|word|time)(?::([^:}]+))?(?::(\d+))?\}")


class Workshop:
    """The database of one data set: what its changes are made with."""

    def __init__(
        self, server: Server, database: str, seed: int, megabytes: float, versions: int
    ) -> None:
        self.seed = seed
        self.megabytes = megabytes
        self.versions = versions
        self.version = 1
        self._server = server
        self._databases = [database]
        server.create(database)

    @property
    def database(self) -> str:
        """The name of the database that the next dump is of."""
        return self._databases[-1]

    @property
    def dsn(self) -> str:
        return self._server.loading_dsn(self.database)

    def close(self) -> None:
        for database in self._databases:
            self._server.drop(database)

    # -- what changes are made of --------------------------------------------------------------

    def salt(self, name: str, *, version: int | None = None) -> int:
        """Return a number of 62 bits: another one for each seed, version and *name*."""
        text = f"{self.seed}/{self.version if version is None else version}/{name}".encode()
        return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") >> 2

    def time_text(self, version: int) -> str:
        """Return a time on the day of *version*."""
        day = FIRST_DAY + datetime.timedelta(days=version)
        return f"{day.isoformat()} 03:00:00.000001+00"

    def execute(self, *statements: str) -> None:
        """Run SQL, each statement in a transaction of its own."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            for statement in (*IN_TABLE_ORDER, *statements):
                connection.execute(statement.encode())

    def update(self, table: str, permille: int, values: str) -> None:
        """Update about *permille* of 1000 rows here and there.

        In *values* `{draw:NAME:BOUND}` is a number below BOUND that depends on the row's id, the
        version and NAME, `{word:NAME}` such a word, `{time}` such a time on the version's day.
        """
        chosen = self._chosen(table, permille)
        self.execute(f"UPDATE {table} SET {self._filled(table, values)} WHERE {chosen}")

    def delete(self, table: str, permille: int) -> None:
        """Delete about *permille* of 1000 rows here and there."""
        self.execute(f"DELETE FROM {table} WHERE {self._chosen(f'{table}/delete', permille)}")

    def copy(self, table: str, lines: Iterable[str]) -> None:
        """Add rows, given as COPY lines, in their order."""
        statement = f"COPY {table} FROM STDIN".encode()
        with (
            psycopg.connect(self.dsn, autocommit=True) as connection,
            connection.cursor().copy(statement) as copy,
        ):
            for line in lines:
                copy.write(line.encode())

    def replace(self, statement: str, values: Iterable[tuple[Any, ...]]) -> None:
        """Run a statement once for each tuple, all in one transaction."""
        with psycopg.connect(self.dsn) as connection:
            for one in values:
                connection.execute(statement.encode(), one)

    def vacuum(self, *tables: str, full: bool = False) -> None:
        how = "FULL, FREEZE" if full else "FREEZE"
        self.execute(*(f"VACUUM ({how}) {table}" for table in tables))

    def move_to_a_copy(self) -> None:
        """Go on with a copy of the database; the first one stays as it is."""
        copy = f"{self.database}_copy"
        self.wait_until_alone()
        self._server.drop(copy)
        with self._server.connect() as connection:
            connection.execute(f'CREATE DATABASE "{copy}" TEMPLATE "{self.database}"'.encode())
        self._databases.append(copy)

    def wait_until_alone(self) -> None:
        """Wait until the sessions of programs that have ended are gone: VACUUM minds them."""
        question = (
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        with self._server.connect() as connection:
            while (connection.execute(question).fetchone() or (0,))[0]:
                time.sleep(0.01)

    def _chosen(self, name: str, permille: int) -> str:
        return f"{self._draw(name, 1000)} < {permille}"

    def _draw(self, name: str, bound: int) -> str:
        bits = f"hashint8extended(id, {self.salt(name)}) & 9223372036854775807"
        return f"(({bits}) % {bound})::integer"

    def _filled(self, table: str, values: str) -> str:
        def fill(found: re.Match[str]) -> str:
            kind, name, bound = found.groups()
            if kind == "draw":
                return self._draw(f"{table}/{name}", int(bound))
            if kind == "word":
                words = ", ".join(f"'{word}'" for word in vocabulary()[0][:WORDS])
                return f"(ARRAY[{words}])[1 + {self._draw(f'{table}/{name}', WORDS)}]"
            later = f"{self._draw(f'{table}/time', 86_399_000)} * interval '1 millisecond'"
            return f"(timestamptz '{self.time_text(self.version)}' + {later})"

        return _PLACE.sub(fill, values)


@dataclass(frozen=True, slots=True)
class Version:
    """One dump of a data set: its number from 1 on, and the label of the database it is of."""

    number: int
    label: str
    dump: Path
    bytes_: int


@dataclass(frozen=True, slots=True)
class Order:
    """Which versions are wanted. *folder*, where given, is where dumps are kept and looked for."""

    data_set: DataSet
    seed: int
    megabytes: float
    versions: int
    folder: Path | None = None

    @property
    def made(self) -> dict[str, Any]:
        """What the dumps depend on."""
        return {"seed": self.seed, "megabytes": self.megabytes, "versions": self.versions}

    def label(self, version: int) -> str:
        return self.data_set.label(version, self.versions)


def versions(
    order: Order,
    server: Server,
    environment: dict[str, str],
    scratch: Path,
    say: Callable[[str], None] = lambda line: None,
) -> Iterator[Version]:
    """Yield the versions of a data set, made one at a time.

    Without a folder to keep them in, a dump is deleted once the one after the next is asked for.
    """
    folder = (order.folder or scratch) / order.data_set.name
    folder.mkdir(parents=True, exist_ok=True)
    mark = folder / MADE
    if mark.exists() and json.loads(mark.read_text()) == order.made:
        for number in range(1, order.versions + 1):
            yield _version(order, number, folder)
        return
    mark.unlink(missing_ok=True)
    shop = Workshop(
        server, f"bench_{order.data_set.name}", order.seed, order.megabytes, order.versions
    )
    try:
        for number in range(1, order.versions + 1):
            started = time.perf_counter()
            shop.version = number
            shop.wait_until_alone()
            if number == 1:
                order.data_set.load(shop)
            else:
                order.data_set.change(shop, number)
            shop.wait_until_alone()
            dump = pg_dump(server, shop, environment)
            one = _path(folder, number)
            run(Command((dump,), stdout=one, environment=environment))
            version = _version(order, number, folder)
            took = time.perf_counter() - started
            say(f"{order.data_set.name} {number}: {version.bytes_ / 1e6:.1f} MB in {took:.1f} s")
            yield version
            if not order.folder:
                _path(folder, number - 1).unlink(missing_ok=True)
    finally:
        shop.close()
    if order.folder:
        mark.write_text(json.dumps(order.made) + "\n")
    else:
        _path(folder, order.versions).unlink(missing_ok=True)


def pg_dump(server: Server, shop: Workshop, environment: dict[str, str]) -> tuple[str, ...]:
    """Return the argv of a dump whose `\\restrict` key is not random, where pg_dump has one."""
    argv = server.pg_dump(shop.database)
    asked = subprocess.run((argv[0], "--help"), env=environment, capture_output=True, check=True)
    key = f"{shop.salt('restrict'):x}"
    return (*argv, f"--restrict-key={key}") if b"--restrict-key" in asked.stdout else argv


def _path(folder: Path, number: int) -> Path:
    return folder / f"{number:02d}.sql"


def _version(order: Order, number: int, folder: Path) -> Version:
    dump = _path(folder, number)
    return Version(number, order.label(number), dump, dump.stat().st_size)
