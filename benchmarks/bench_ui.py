"""How long the server takes for the page's first paint where there are very many snapshots.

Two repositories are made as for bench_many.py, one with two snapshots and one with --snapshots of
ten databases. `snap ui` runs over each, and a client of this process asks for pages, one at a time:
what counts is the median, beside the small repository. Run:
.venv/bin/python benchmarks/bench_ui.py
"""

from __future__ import annotations

import argparse
import http.client
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from bench_many import DATABASES, fill

PAGES = {
    "/": 0.3,
    "/database?label=app0": 0.3,
    "/checks": None,
    "/kept": None,
    "/audit": None,
    "/search?q=hourly": None,
    "/search?q=v1990": None,
    "/actions/restore": None,
}


@contextmanager
def session(path: Path) -> Iterator[tuple[str, str]]:
    """Run `snap ui` over a repository; yield its address and a session."""
    words = (sys.executable, "-m", "pgsnap.cli", "ui", "--repo", str(path), "--json")
    with subprocess.Popen((*words, "--no-browser"), stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        text = ""
        while not text.endswith("\n}\n"):
            text += child.stdout.readline()
        url = urlsplit(json.loads(text)["url"])
        token = url.fragment.removeprefix("token=")
        yield url.netloc, ask(url.netloc, "/session", "POST", {"X-Snap-Token": token})[1]
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
    parser.add_argument("--rounds", type=int, default=7)
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
            print(f"{'page':28}{'two':>8}{'many':>8}{'more':>8}{'goal':>8}  seconds, median")
            for page, goal in PAGES.items():
                taken: list[list[float]] = [[], []]
                for _ in range(given.rounds):
                    for place, (host, value) in enumerate((two, many)):
                        headers = {"X-Snap-Session": value}
                        taken[place].append(ask(host, page, "GET", headers)[0])
                small, large = map(statistics.median, taken)
                words = f"{goal:8.1f}" if goal else ""
                print(f"{page:28}{small:8.3f}{large:8.3f}{large - small:8.3f}{words}", flush=True)


if __name__ == "__main__":
    main()
