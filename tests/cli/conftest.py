"""Fixtures of the command-line tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.commandline import CommandLine


@pytest.fixture
def snap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> CommandLine:
    """`snap` in an empty folder, with nothing set in its environment."""
    return CommandLine(tmp_path, monkeypatch, capfd)
