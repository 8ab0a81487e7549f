"""What one contender of bench_storage.py stored and took, version by version."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field

import numpy as np

from measure import Measurement, Series


@dataclass(slots=True)
class History:
    """The versions are 1 to *versions*; some contenders were given only a few of them."""

    name: str
    versions: int
    command: str = ""
    stored: dict[int, dict[str, int]] = field(default_factory=dict)
    runs: dict[int, Measurement] = field(default_factory=dict)

    def add(self, number: int, command: str, stored: dict[str, int], run: Measurement) -> None:
        self.command = self.command or command
        self.stored[number] = stored
        self.runs[number] = run
        run.facts.update({f"{name}_bytes": float(value) for name, value in stored.items()})

    @property
    def interpolated(self) -> bool:
        """Whether sizes between the versions that were stored are drawn as straight lines."""
        return len(self.stored) < self.versions

    def one(self, number: int) -> float:
        """Return the bytes that this version added."""
        stored = self.stored.get(number)
        if stored is None:
            known = sorted(self.stored)
            sizes = [self.stored[other]["one"] for other in known]
            return float(np.interp(number, known, sizes))
        if "one" in stored:
            return stored["one"]
        return stored["total"] - (self.stored[number - 1]["total"] if number > 1 else 0)

    def total(self, number: int) -> float:
        """Return the bytes of all that is stored after this version."""
        return sum(self.one(earlier) for earlier in range(1, number + 1))

    @property
    def one_more(self) -> list[float]:
        """What each version after the first added."""
        return [self.one(number) for number in range(2, self.versions + 1)]

    @property
    def mean_one_more(self) -> float:
        return statistics.mean(self.one_more)

    @property
    def first_seconds(self) -> float:
        return self.runs[1].wall_seconds

    @property
    def mean_other_seconds(self) -> float:
        """Return the mean time of the versions after the first."""
        return statistics.mean(one.wall_seconds for number, one in self.runs.items() if number > 1)

    def series(self, data_set: str) -> Series:
        """Return the runs for the record, in their order."""
        return Series(f"{data_set}: {self.name}", self.command, tuple(self.runs.values()))
