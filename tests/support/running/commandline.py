"""Runs `snap` as a user would: in this process, or as a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pgsnap.cluster.cluster import Cluster

SOURCE = Path(__file__).resolve().parents[3] / "src"

# What must not leak from the machine of the tests into them.
FOREIGN = (
    "SNAP_",
    "PG",
    "COLUMNS",
    "PAGER",
    "LESS",
    "DATABASE_URL",
    "XDG_",
    "NO_COLOR",
    "TERM",
    "_SNAP",
    "_PGSNAP",
)


@dataclass(frozen=True)
class Result:
    """What a run of snap left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON value on standard output."""
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, Any]:
        """The JSON object of an error on standard error."""
        found: dict[str, Any] = json.loads(self.err)["error"]
        return found


class CommandLine:
    """`snap` in a folder and an environment of its own."""

    def __init__(
        self,
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        self.folder = folder
        self._monkeypatch = monkeypatch
        self._capfd = capfd
        for name in list(os.environ):
            if name.startswith(FOREIGN):
                monkeypatch.delenv(name)
        home = folder / "home"
        home.mkdir()
        monkeypatch.setenv("HOME", str(home))
        self.work = folder / "work"
        self.work.mkdir()
        monkeypatch.chdir(self.work)

    def setenv(self, name: str, value: str) -> None:
        self._monkeypatch.setenv(name, value)

    def use_tools_of(self, cluster: Cluster) -> None:
        """Let pg_dump and psql be those of the version under test."""
        self.setenv("PATH", os.pathsep.join([str(cluster.binaries.bindir), os.environ["PATH"]]))

    def __call__(self, *arguments: str) -> Result:
        """Run `main` in this process."""
        from pgsnap.cli import main

        self._capfd.readouterr()
        code = main(list(arguments))
        out, err = self._capfd.readouterr()
        return Result(code, out, err)

    def at(self, folder: Path, *arguments: str) -> Result:
        """Run `main` in this process, in *folder*."""
        self._monkeypatch.chdir(folder)
        return self(*arguments)

    def ok(self, *arguments: str) -> Result:
        """Run `main`, which must succeed."""
        result = self(*arguments)
        assert result.code == 0, result.err
        return result

    def popen(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Start snap as a process of its own."""
        paths = [str(SOURCE), *filter(None, [os.environ.get("PYTHONPATH")])]
        return subprocess.Popen(
            [sys.executable, "-m", "pgsnap.cli", *arguments],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            cwd=self.work,
            text=True,
            **{
                "stdin": subprocess.DEVNULL,
                "stdout": subprocess.PIPE,
                "stderr": subprocess.PIPE,
                **options,
            },
        )

    def process(self, *arguments: str, **options: Any) -> Result:
        """Run snap as a process of its own."""
        child = self.popen(*arguments, **options)
        out, err = child.communicate(timeout=60)
        return Result(child.returncode, out or "", err or "")
