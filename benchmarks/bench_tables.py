"""How much memory snap's own process takes where a database has very many tables.

The dump is made here, as pg_dump would write one of --tables tables with a row each and a primary
key; in the second one table in a hundred has another row. Run: .venv/bin/python
benchmarks/bench_tables.py
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from measure import Command, run

BOUND_MIB = 256

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=int, default=200_000)
    parser.add_argument("--folder", type=Path, default=None)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        place = Path(folder)
        for version, name in enumerate(("first.sql", "second.sql")):
            with (place / name).open("w") as file:
                file.writelines(dump(given.tables, version))
        snap = (sys.executable, "-m", "pgsnap.cli")
        run(Command(((*snap, "init", "repository"),), folder=place))
        print(f"{'command':52}{'MiB':>6}{'bound':>7}{'seconds':>9}{'processor':>11}")
        for arguments in COMMANDS:
            done = run(Command(((*snap, "--repo", "repository", *arguments),), folder=place))
            print(
                f"{' '.join(arguments):52}{(done.own_peak_bytes or 0) / 2**20:6.0f}{BOUND_MIB:7}"
                f"{done.wall_seconds:9.1f}{done.cpu_seconds:11.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
