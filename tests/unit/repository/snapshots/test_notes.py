"""Notes of which there may be very many are read once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from pgsnap.model import Note
from pgsnap.repository import layout
from pgsnap.repository.repository import Repository
from pgsnap.workflows.notes.verdicts import VERDICT
from support.repositories.on_server import Remote
from support.servers.object_server import ObjectServer

FOLDER = f"p/{layout.NOTES}{VERDICT}/"
DAY = datetime(2026, 1, 1, tzinfo=UTC)


def a_verdict(day: int) -> Note:
    return Note(VERDICT, "shop", DAY + timedelta(days=day), bytes(32), {"by": "verify"})


def days(repo: Repository) -> list[int]:
    return sorted((note.time - DAY).days for note in repo.sound_notes(VERDICT))


def reads(server: ObjectServer) -> int:
    """Return how many verdicts were read since this was last asked."""
    found = [one for one in server.seen if one.method == "GET" and one.key.startswith(FOLDER)]
    server.seen.clear()
    return len(found)


def test_a_verdict_is_read_once_by_each_host_and_counts_as_long_as_it_is_there(
    tmp_path: Path,
) -> None:
    with ObjectServer() as server:
        remote = Remote(server, tmp_path)
        with remote.open("other") as repo:
            for day in range(600):
                repo.add_note(a_verdict(day))
        with remote.open() as repo:
            reads(server)
            assert days(repo) == [*range(600)]
            assert reads(server) == 600
            repo.add_note(a_verdict(600))
            gone = server.objects.pop(next(key for key in server.objects if key.startswith(FOLDER)))
            assert gone
        with remote.open() as repo:
            reads(server)
            assert len(days(repo)) == 600
            assert 600 in days(repo)
            assert reads(server) == 1


def test_where_damage_is_looked_for_all_are_read(tmp_path: Path) -> None:
    with ObjectServer() as server:
        remote = Remote(server, tmp_path)
        with remote.open() as repo:
            for day in range(3):
                repo.add_note(a_verdict(day))
            assert days(repo) == [0, 1, 2]
            damaged: list[str] = []
            name = next(key for key in server.objects if key.startswith(FOLDER))
            server.objects[name] = server.objects[min(key for key in server.objects)]
            assert len(list(repo.sound_notes(VERDICT, damaged=damaged))) == 2
            assert damaged == [name.removeprefix("p/")]
