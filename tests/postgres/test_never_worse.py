"""Whatever state the live, the kept and a scratch database are in, no sequence of commands ends
with a worse live database than it found."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from support.restoring.worse import let_loose
from support.running.commandline import CommandLine
from support.running.seeds import SEED
from support.servers.databases import Database

SEQUENCES = int(os.environ.get("SNAP_SEQUENCES", "5"))


@pytest.mark.parametrize("number", range(SEQUENCES))
def test_no_sequence_of_commands_ends_with_a_worse_live_database(
    database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    number: int,
) -> None:
    snap = CommandLine(tmp_path, monkeypatch, capfd)
    let_loose(snap, database, SEED * 1000 + number, steps=5)
