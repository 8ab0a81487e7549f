"""How much memory snap's own process takes where a database has very many tables.

The dump is made here, as pg_dump would write one of --tables tables with a row each and a primary
key; in the second one table in a hundred has another row. With --restore a private PostgreSQL holds
such a database instead, which is committed, restored and drilled: hours and some 20 GB for 200,000
tables. Run: .venv/bin/python benchmarks/bench_tables.py
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from measure import Command, run
from pgsnap.cluster import binaries
from pgsnap.cluster.cluster import Cluster

BOUND_MIB = 256
LABEL = "large"
# Of the private server: (this + what is prepared) x locks must hold one of each table and more.
CONNECTIONS = 20
TABLES_PER_TRANSACTION = 500

COMMANDS: tuple[tuple[str, ...], ...] = (
    ("commit", "--file", "first.sql", "--database", "large", "-m", "first"),
    ("commit", "--file", "second.sql", "--database", "large", "-m", "second"),
    ("log",),
    ("cat", "latest"),
    ("export", "latest", "again.sql"),
    ("verify",),
    ("gc", "--dry-run"),
    ("stats",),
    ("diff", "latest~1", "latest"),
    ("show", "latest"),
    ("stats", "--by-table"),
)

IN_PLACE = ("--yes", "--no-safety-snapshot", "--discard-old")
SERVER_COMMANDS: tuple[tuple[str, ...], ...] = (
    ("commit", "-m", "first"),
    ("commit", "-m", "again"),
    ("restore", "latest", "--to", "copy", "--yes"),
    ("restore", "latest", *IN_PLACE),
    ("drill",),
)


def dump(tables: int, version: int) -> Iterator[str]:
    """Yield the text of a dump, an entry at a time."""
    yield "--\n-- PostgreSQL database dump\n--\n\n-- Dumped from database version 15.10\n"
    yield "-- Dumped by pg_dump version 15.10\n\nSET statement_timeout = 0;\n\n"
    for number in range(tables):
        name = f"tenant_{number:06}_orders"
        yield (
            f"--\n-- Name: {name}; Type: TABLE; Schema: public; Owner: app\n--\n\n"
            f"CREATE TABLE public.{name} (\n    id integer NOT NULL,\n    note text\n);\n\n\n"
            f"ALTER TABLE public.{name} OWNER TO app;\n\n"
        )
    for number in range(tables):
        name = f"tenant_{number:06}_orders"
        note = f"row of {number}, version {version if number % 100 == 0 else 0}"
        yield (
            f"--\n-- Data for Name: {name}; Type: TABLE DATA; Schema: public; Owner: app\n--\n\n"
            f"COPY public.{name} (id, note) FROM stdin;\n1\t{note}\n\\.\n\n\n"
        )
    for number in range(tables):
        name = f"tenant_{number:06}_orders"
        yield (
            f"--\n-- Name: {name} {name}_pkey; Type: CONSTRAINT; Schema: public; Owner: app\n--\n\n"
            f"ALTER TABLE ONLY public.{name}\n"
            f"    ADD CONSTRAINT {name}_pkey PRIMARY KEY (id);\n\n\n"
        )
    yield "--\n-- PostgreSQL database dump complete\n--\n\n"


def fill(cluster: Cluster, tables: int) -> None:
    """Make the database, with some tables in each transaction."""
    cluster.create_database(LABEL)
    for first in range(0, tables, TABLES_PER_TRANSACTION):
        last = min(first + TABLES_PER_TRANSACTION, tables) - 1
        cluster.psql(
            f"""DO $$ DECLARE name text; BEGIN
            FOR number IN {first}..{last} LOOP
                name := 'tenant_' || lpad(number::text, 6, '0') || '_orders';
                EXECUTE format('CREATE TABLE %I (id integer PRIMARY KEY, note text)', name);
                EXECUTE format('INSERT INTO %I VALUES (1, %L)', name, 'row of ' || number);
            END LOOP; END $$""",
            database=LABEL,
        )


def measure(place: Path, commands: tuple[tuple[str, ...], ...], *options: str) -> None:
    """Run the commands in a new repository and print what each took."""
    snap = (sys.executable, "-m", "pgsnap.cli", *options)
    run(Command(((*snap, "init", "repository"),), folder=place))
    print(f"{'command':52}{'MiB':>6}{'bound':>7}{'seconds':>9}{'processor':>11}", flush=True)
    for arguments in commands:
        done = run(Command(((*snap, "--repo", "repository", *arguments),), folder=place))
        print(
            f"{' '.join(arguments):52}{(done.own_peak_bytes or 0) / 2**20:6.0f}{BOUND_MIB:7}"
            f"{done.wall_seconds:9.1f}{done.cpu_seconds:11.1f}",
            flush=True,
        )


def restores(place: Path, tables: int) -> None:
    """Commit, restore and drill a real database."""
    locks = 2 * tables // CONNECTIONS + 64
    settings = {"max_connections": str(CONNECTIONS), "max_locks_per_transaction": str(locks)}
    settings |= {"max_wal_size": "8GB", "shared_buffers": "512MB"}
    with Cluster(binaries.find(), fsync=False, settings=settings, under=place) as cluster:
        fill(cluster, tables)
        measure(place, SERVER_COMMANDS, "--dsn", cluster.dsn(LABEL))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=int, default=200_000)
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--restore", action="store_true", help="with a private PostgreSQL")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        place = Path(folder)
        if given.restore:
            place.chmod(0o755)  # the server's user must come to its own folder in it
            restores(place, given.tables)
            return
        for version, name in enumerate(("first.sql", "second.sql")):
            with (place / name).open("w") as file:
                file.writelines(dump(given.tables, version))
        measure(place, COMMANDS)


if __name__ == "__main__":
    main()
