"""Notes of changes that went unnoticed, and of their acknowledgement."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path

import pytest

from pgsnap.model import SectionKind, SectionName
from pgsnap.repository.repository import Repository
from pgsnap.workflows.notes import missed_changes
from support.repositories.made import make, record

SERVER = "1"
SECTIONS = [SectionName(SectionKind.DATA, "public", "t")]


class Ahead(datetime):
    """The clock before somebody sets it right."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Ahead:
        return cls.fromtimestamp((datetime.now(UTC) + timedelta(days=3000)).timestamp(), tz)


def test_the_last_note_counts_whatever_the_clock_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Repository.open(make(tmp_path / "repo")) as repo:
        snapshot = record(repo).snapshot_id

        def is_missed() -> bool:
            return missed_changes.missed_changes(repo, "shop", SERVER) is not None

        for clock in (datetime, Ahead, datetime):
            monkeypatch.setattr(missed_changes, "datetime", clock)
            missed_changes.note_missed(repo, "shop", SERVER, snapshot, SECTIONS)
            assert is_missed()
            missed_changes.acknowledge(repo, "shop", SERVER, snapshot)
            assert not is_missed()
        assert missed_changes.missed_changes(repo, "other", SERVER) is None
