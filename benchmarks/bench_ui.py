"""How long the server takes for the page's first paint where there are very many snapshots.

Two repositories are made as for bench_many.py, one with two snapshots and one with --snapshots of
ten databases. `snap ui` runs over each, and a client asks for pages, one at a time. What counts is
the server's processor time a page beside that of the small repository; the wall time is the median.
Run: .venv/bin/python benchmarks/bench_ui.py
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from bench_many import DATABASES, fill

PAGES = {
    "/": 0.3,
    "/database?label=app0": 0.3,
    "/table?label=app0&table=public.orders": 0.3,
    "/checks": None,
    "/kept": None,
    "/audit": None,
    "/search?q=hourly": None,
    "/search?q=v1990": None,
    "/actions/restore": None,
}


@dataclass(frozen=True)
class Served:
    """A server: its address, a session, its process."""

    host: str
    value: str
    process: int

    def cpu_seconds(self) -> float:
        """Return the processor time that the server took so far."""
        fields = Path(f"/proc/{self.process}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def session(path: Path) -> Iterator[Served]:
    """Run `snap ui` over a repository; yield it with a session."""
    words = (sys.executable, "-m", "pgsnap.cli", "ui", "--repo", str(path), "--json")
    with subprocess.Popen((*words, "--no-browser"), stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        text = ""
        while not text.endswith("\n}\n"):
            text += child.stdout.readline()
        url = urlsplit(json.loads(text)["url"])
        token = url.fragment.removeprefix("token=")
        value = ask(url.netloc, "/session", "POST", {"X-Snap-Token": token})[1]
        yield Served(url.netloc, value, child.pid)
        child.terminate()


def ask(host: str, path: str, method: str, headers: dict[str, str]) -> tuple[float, str]:
    """Send a request; return the seconds it took, and its answer."""
    connection = http.client.HTTPConnection(host)
    began = time.perf_counter()
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    seconds = time.perf_counter() - began
    connection.close()
    assert answer.status == 200, text
    return seconds, text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--snapshots", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--folder", type=Path, default=None, help="where the repositories are made")
    parser.add_argument(
        "--made", type=Path, default=None, help="a folder in which they stay as made"
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        paths = []
        for snapshots, databases in ((2, 1), (given.snapshots, DATABASES)):
            made = (given.made or Path(folder)) / f"made-{snapshots}"
            if not made.exists():
                fill(made, snapshots, databases)
            paths.append(Path(shutil.copytree(made, Path(folder) / f"of-{snapshots}")))
        with session(paths[0]) as two, session(paths[1]) as many:
            columns = ("two", "many", "more", "goal", "wall")
            print(f"{'page':28}" + "".join(f"{column:>8}" for column in columns))
            for page, goal in PAGES.items():
                (small, _), (large, wall) = (
                    measured(served, page, given.rounds) for served in (two, many)
                )
                words = f"{goal:8.1f}" if goal else f"{'':8}"
                more = f"{small:8.3f}{large:8.3f}{large - small:8.3f}"
                print(f"{page:28}{more}{words}{wall:8.3f}", flush=True)


def measured(served: Served, page: str, rounds: int) -> tuple[float, float]:
    """Return the server's processor seconds for a page, and the wall seconds."""
    headers = {"X-Snap-Session": served.value}
    ask(served.host, page, "GET", headers)
    before = served.cpu_seconds()
    wall = [ask(served.host, page, "GET", headers)[0] for _ in range(rounds)]
    return (served.cpu_seconds() - before) / rounds, statistics.median(wall)


if __name__ == "__main__":
    main()
