"""NumPy starts no threads of its own in a command, and no other program sees how."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

_COUNT = "OPENBLAS_NUM_THREADS"
_PROGRAM = """
import json, os, subprocess, sys
from pgsnap import interrupts
from pgsnap.cli import main
interrupts.end_at_once = lambda: None
sys.argv = ["snap", "log", "--help"]
main()
if sys.flags.quiet:
    sys.meta_path.pop(0)
import numpy
seen = subprocess.run(["env"], capture_output=True, text=True, check=True).stdout.splitlines()
said = [line for line in seen if line.startswith("OPENBLAS_NUM_THREADS=")]
print(json.dumps([len(os.listdir("/proc/self/task")), said, type(numpy.__loader__).__name__]))
"""


def _threads_and_variable(*options: str, **variables: str) -> tuple[int, list[str]]:
    environ = {name: value for name, value in os.environ.items() if name != _COUNT}
    done = subprocess.run(
        [sys.executable, *options, "-c", _PROGRAM],
        env={**environ, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    threads, said, loader = json.loads(done.stdout.splitlines()[-1])
    assert loader == "SourceFileLoader"
    return threads, said


def test_numpy_starts_no_threads_and_other_programs_get_the_environment_as_it_was() -> None:
    if _threads_and_variable("-q")[0] == 1:
        pytest.skip("NumPy starts no threads here: there is one processor, or its BLAS is another")
    assert _threads_and_variable() == (1, [])


def test_who_asks_for_threads_gets_them() -> None:
    assert _threads_and_variable(**{_COUNT: "2"})[1] == [f"{_COUNT}=2"]
