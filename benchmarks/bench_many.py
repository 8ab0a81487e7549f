"""What commands cost where there are very many snapshots: hourly commits of ten small databases.

Two repositories are made, one with two snapshots and one with --snapshots of them, a tag on every
tenth; each snapshot differs from the one before by one row. Then each command runs in both, one
after another, some rounds, on copies. What counts is processor time beside that of the small
repository: what is left are the snapshots. Run: .venv/bin/python benchmarks/bench_many.py
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from measure import Command, Measurement, run
from pgsnap.repository.repository import Repository
from pgsnap.sources.file import FileSource
from pgsnap.workflows.commit.commit import commit

DATABASES = 10
TAG_EVERY = 10
ROWS = 20
DUMP = """--
-- PostgreSQL database dump
--

-- Dumped from database version 15.10
-- Dumped by pg_dump version 15.10

SET statement_timeout = 0;

--
-- Name: orders; Type: TABLE; Schema: public; Owner: app
--

CREATE TABLE public.orders (
    id integer NOT NULL,
    note text
);


--
-- Data for Name: orders; Type: TABLE DATA; Schema: public; Owner: app
--

COPY public.orders (id, note) FROM stdin;
{rows}
\\.


--
-- PostgreSQL database dump complete
--

"""

# Command; the goal: processor seconds beside the same command with two snapshots; rounds. The first
# gc also joins the twenty thousand tiny packs, which it can do once.
KEEP = ("--keep-last", "1000000")
COMMANDS: tuple[tuple[tuple[str, ...], str, int | None], ...] = (
    (("log", "-n", "20"), "0.1", None),
    (("log", "--oneline"), "1", None),
    (("show", "latest", "--database", "app0"), "", None),
    (("tag",), "", None),
    (("stats",), "2", None),
    (("gc", "--dry-run", *KEEP), "3", None),
    (("verify",), "5", None),
    (("gc", *KEEP), "", 1),
    (("gc", *KEEP), "3", None),
    (("stats",), "2", None),
    (("verify",), "5", None),
)


def dumps(database: int) -> Iterator[bytes]:
    """Yield the versions of one database's dump, each with one row changed."""
    rows = [f"{number}\tnote {number} of database {database}" for number in range(ROWS)]
    version = 0
    while True:
        rows[version % ROWS] = f"{version % ROWS}\tchanged {version} of database {database}"
        yield DUMP.format(rows="\n".join(rows)).encode()
        version += 1


def fill(path: Path, snapshots: int, databases: int) -> None:
    """Make a repository with hourly *snapshots* in turn of each of *databases*."""
    Repository.create(path)
    versions = [dumps(number) for number in range(databases)]
    moment = datetime.now(UTC) - timedelta(hours=snapshots // databases + 1)
    dump = path.with_suffix(".sql")
    with Repository.open(path) as repo:
        for number in range(snapshots):
            database = number % databases
            dump.write_bytes(next(versions[database]))
            commit(
                repo,
                FileSource(dump),
                database=f"app{database}",
                message="hourly",
                tags=[f"v{number}"] if number % TAG_EVERY == 0 else (),
                at=moment + timedelta(hours=number // databases, seconds=database),
            )
    dump.unlink()


def measured(path: Path, arguments: tuple[str, ...]) -> Measurement:
    snap = (sys.executable, "-m", "pgsnap.cli", "--repo", str(path), *arguments)
    return run(Command((snap,), folder=path.parent))


def medians(runs: list[Measurement]) -> tuple[float, float, float]:
    """Return processor seconds, wall seconds and peak MiB."""
    return (
        statistics.median(one.cpu_seconds for one in runs),
        statistics.median(one.wall_seconds for one in runs),
        statistics.median((one.own_peak_bytes or 0) / 2**20 for one in runs),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--snapshots", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=None, help="where the repositories are made")
    parser.add_argument(
        "--made", type=Path, default=None, help="a folder in which they stay as made"
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        two, many = Path(folder) / "two", Path(folder) / "many"
        for path, snapshots, databases in ((two, 2, 1), (many, given.snapshots, DATABASES)):
            began = time.monotonic()
            made = (given.made or Path(folder)) / f"made-{snapshots}"
            if not made.exists():
                fill(made, snapshots, databases)
                print(f"{snapshots} snapshots made in {time.monotonic() - began:.0f} s")
            shutil.copytree(made, path)
        files = [file.stat() for file in many.rglob("*") if file.is_file()]
        taken = sum(file.st_blocks * 512 for file in files) / given.snapshots
        print(f"on disk: {len(files)} files, {taken / 1e3:.1f} kB a snapshot")
        columns = ("two", "many", "more", "goal", "wall", "MiB")
        print(f"{'command':36}" + "".join(f"{column:>8}" for column in columns))
        for arguments, goal, rounds in COMMANDS:
            pairs = [
                (measured(two, arguments), measured(many, arguments))
                for _ in range(given.rounds if rounds is None else rounds)
            ]
            small = medians([pair[0] for pair in pairs])
            large = medians([pair[1] for pair in pairs])
            print(
                f"{' '.join(arguments):36}{small[0]:8.2f}{large[0]:8.2f}"
                f"{large[0] - small[0]:8.2f}{goal:>8}{large[1]:8.2f}{large[2]:8.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
