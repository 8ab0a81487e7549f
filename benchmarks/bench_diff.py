"""How fast `snap diff` is: `python benchmarks/bench_diff.py --megabytes 1000`.

Makes a synthetic dump of ten tables with primary keys and two later versions of it, commits all
three from files, and compares each later version with the first: in one, rows of a quarter of the
text changed (scattered, so that nearly each of its chunks differs); in the other, rows of all of
it. No server is needed.
"""

from __future__ import annotations

import argparse
import json
import random
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

TABLES = 12
QUARTER = TABLES // 4
ROWS_AT_A_TIME = 5000
ROW_BYTES = 103
# One row in so many is changed: several in each chunk.
EVERY = 400
STATES = ("new", "paid", "shipped", "delivered")
BEGIN = "--\n-- PostgreSQL database dump\n--\n\nSET client_encoding = 'UTF8';\n\n"
END = "--\n-- PostgreSQL database dump complete\n--\n\n"


def dump(megabytes: float, seed: int, changed_tables: int) -> Iterator[str]:
    """Yield a dump; in its first *changed_tables* one row of EVERY has another state."""
    rows = round(megabytes * 1e6 / TABLES / ROW_BYTES)
    yield BEGIN
    for table in range(TABLES):
        yield header(f"t{table}", "TABLE")
        yield f"CREATE TABLE public.t{table} (id bigint, item integer, state text, hash text);\n\n"
    for table in range(TABLES):
        yield header(f"t{table}", "TABLE DATA")
        yield f"COPY public.t{table} (id, item, state, hash) FROM stdin;\n"
        chance = random.Random(seed * TABLES + table)
        for first in range(0, rows, ROWS_AT_A_TIME):
            count = min(ROWS_AT_A_TIME, rows - first)
            yield "".join(block(chance, first, count, is_changed=table < changed_tables))
        yield "\\.\n\n\n"
    for table in range(TABLES):
        yield header(f"t{table} t{table}_pkey", "CONSTRAINT")
        yield f"ALTER TABLE ONLY public.t{table}\n"
        yield f"    ADD CONSTRAINT t{table}_pkey PRIMARY KEY (id);\n\n\n"
    yield END


def header(name: str, kind: str) -> str:
    return f"--\n-- Name: {name}; Type: {kind}; Schema: public; Owner: bench\n--\n\n"


def block(chance: random.Random, first: int, count: int, *, is_changed: bool) -> Iterator[str]:
    text = chance.randbytes(count * 36).hex()
    for i, item in enumerate(chance.choices(range(100_000), k=count)):
        number = first + i
        state = STATES[item % 4]
        if is_changed and number % EVERY == 7:
            state = "lost"
        yield f"{number}\t{item}\t{state}\t{text[i * 72 : i * 72 + 60 + item % 24]}\n"


class Snap:
    """The measured command, on one repository."""

    def __init__(self, argv: tuple[str, ...], repository: Path) -> None:
        self._argv = argv
        self._repository = repository

    def __call__(self, *arguments: str) -> str:
        done = subprocess.run(
            [*self._argv, "--repo", str(self._repository), "--no-progress", *arguments],
            cwd=self._repository.parent,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return done.stdout


def measure(snap: Snap, rounds: int, *arguments: str) -> tuple[float, list[str]]:
    """Return the median of the seconds that a command takes, and its outputs."""
    seconds, outputs = [], []
    for _ in range(rounds):
        began = time.monotonic()
        outputs.append(snap(*arguments))
        seconds.append(time.monotonic() - began)
    return statistics.median(seconds), outputs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--megabytes", type=float, default=1000, help="MB (10^6) of dump text")
    parser.add_argument("--rounds", type=int, default=3, help="how often each diff runs")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scratch", type=Path, help="folder for all files (default: TMPDIR)")
    parser.add_argument("--snap", help="the command that is measured (default: the installed snap)")
    options = parser.parse_args()
    beside = str(Path(sys.executable).with_name("snap"))
    argv = tuple(shlex.split(options.snap)) if options.snap else (beside,)
    with tempfile.TemporaryDirectory(prefix="snap-bench-", dir=options.scratch) as folder:
        snap = Snap(argv, Path(folder) / "repository")
        snap("init", str(Path(folder) / "repository"), "--quiet")
        sizes = []
        for tag, tables in (("first", 0), ("quarter", QUARTER), ("all", TABLES)):
            file = Path(folder) / "dump.sql"
            with file.open("w", encoding="ascii") as out:
                out.writelines(dump(options.megabytes, options.seed, tables))
            sizes.append(file.stat().st_size)
            snap("commit", "-m", tag, "--tag", tag, "--file", str(file), "--database", "bench")
            file.unlink()
        print(f"Diff of two dumps of {sizes[0] / 1e6:.0f} MB\n")
        print("| diff | seconds | read | rate | changed rows |")
        print("| --- | ---: | ---: | ---: | ---: |")
        for name in ("quarter", "all"):
            seconds, outputs = measure(snap, options.rounds, "diff", "first", name, "--json")
            report = json.loads(outputs[0])
            read = report["read_bytes"]
            print(
                f"| {name} of the chunks differ | {seconds:.2f} | {read / 1e6:.0f} MB | "
                f"{read / 1e6 / seconds:.0f} MB/s | {report['rows']['changed']} |"
            )
        rows = ("diff", "first", "all", "--table", "public.t0", "--rows", "--limit", "10")
        seconds, _ = measure(snap, options.rounds, *rows)
        print(f"| `--rows` of a table of {sizes[0] / 1e6 / TABLES:.0f} MB | {seconds:.2f} | | | |")
        print("\nGoals: 2 s for a quarter of 1 GB, 500 MB/s for all of it; both sides are read.")


if __name__ == "__main__":
    main()
