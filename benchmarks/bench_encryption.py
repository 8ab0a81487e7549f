"""What encryption costs: `python benchmarks/bench_encryption.py --megabytes 500`.

Makes a synthetic dump and a later version of it, in which one row of 400 changed in a quarter of
the tables. Both are committed from files and read back completely, in turn into a plain and into an
encrypted repository: no server and no network hides what it costs. The key is at hand; what a
passphrase takes (a fifth of a second a command) is not in it.

On a busy machine the processor's seconds are what to compare.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bench_diff import QUARTER, dump
from pgsnap.model import RepositoryConfig
from pgsnap.repository.chunks.stream import snapshot_stream
from pgsnap.repository.repository import Repository
from pgsnap.repository.sealed.unlocking import Unlocked, unlock
from pgsnap.sealing.wrapping_keys import KeyFile
from pgsnap.sources.file import FileSource
from pgsnap.stores.base import Store
from pgsnap.workflows.commit.commit import commit

STEPS = ("first commit", "next commit", "read back")
GOAL = 1.05


@dataclass
class Costs:
    """The measurements of one kind of repository, by step: seconds, and those of the processor."""

    wall: dict[str, list[float]] = field(default_factory=dict)
    processor: dict[str, list[float]] = field(default_factory=dict)
    stored_bytes: int = 0

    def measure(self, step: str, work: Callable[[], None]) -> None:
        began, used = time.perf_counter(), _processor_seconds()
        work()
        self.wall.setdefault(step, []).append(time.perf_counter() - began)
        self.processor.setdefault(step, []).append(_processor_seconds() - used)


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


KEY = KeyFile(bytes(range(32)))


def opened(path: Path) -> Repository:
    """Open the repository in *path*, its index beside it in either case."""

    def unlocked(place: str, config: RepositoryConfig, store: Store) -> Unlocked | None:
        return None if config.encryption is None else unlock(config, store, [KEY])

    return Repository.open(path, unlock=unlocked, index_folder=path.parent / "index")


def run_once(path: Path, versions: list[Path], costs: Costs, opener: KeyFile | None) -> None:
    """Make a repository in *path*, commit both *versions* and read them back."""
    Repository.create(path, opener=opener)

    def store(file: Path) -> None:
        with opened(path) as repo:
            commit(repo, FileSource(file), database="bench", message=file.name)

    for step, file in zip(STEPS, versions, strict=False):
        costs.measure(step, lambda file=file: store(file))  # type: ignore[misc]
    costs.measure(STEPS[-1], lambda: read_back(path, versions))
    packs = (path / "packs").rglob("*")
    costs.stored_bytes = sum(file.stat().st_size for file in packs if file.is_file())


def read_back(path: Path, versions: list[Path]) -> None:
    with opened(path) as repo:
        for snapshot, file in zip(reversed(repo.newest("bench")), versions, strict=True):
            stream = snapshot_stream(repo, repo.snapshot(snapshot), restrict_key=None)
            assert sum(map(len, stream)) == file.stat().st_size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--megabytes", type=float, default=500, help="MB (10^6) of dump text")
    parser.add_argument("--rounds", type=int, default=5, help="how often each kind is measured")
    parser.add_argument("--scratch", type=Path, help="folder for all files (default: TMPDIR)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="snap-bench-", dir=options.scratch) as folder:
        versions = []
        for name, tables in (("first", 0), ("second", QUARTER)):
            versions.append(Path(folder) / f"{name}.sql")
            with versions[-1].open("w", encoding="ascii") as out:
                out.writelines(dump(options.megabytes, 1, tables))
        plain, sealed = Costs(), Costs()
        for number in range(options.rounds):
            # In turn, and either first in turn.
            kinds: list[tuple[Costs, KeyFile | None]] = [(plain, None), (sealed, KEY)]
            for costs, opener in kinds if number % 2 else reversed(kinds):
                path = Path(folder) / "repository"
                run_once(path, versions, costs, opener)
                shutil.rmtree(path)
    show(plain, sealed)


def show(plain: Costs, sealed: Costs) -> None:
    print("| step | plain | encrypted | ratio | of processor time |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for step in STEPS:
        one, other = (statistics.median(costs.wall[step]) for costs in (plain, sealed))
        pairs = [b / a for a, b in zip(plain.wall[step], sealed.wall[step], strict=True)]
        used = [b / a for a, b in zip(plain.processor[step], sealed.processor[step], strict=True)]
        print(
            f"| {step} | {one:.2f} s | {other:.2f} s | {statistics.median(pairs):.3f} |"
            f" {statistics.median(used):.3f} |"
        )
    more = sealed.stored_bytes / plain.stored_bytes
    print(f"| stored | {plain.stored_bytes} | {sealed.stored_bytes} | {more:.3f} | |")
    print(f"\nGoal: at most {GOAL} of the seconds. Ratios are medians of pairs.")


if __name__ == "__main__":
    main()
