from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pgsnap.files.folder import Folder
from pgsnap.repository import audit_log
from support.repositories.keys import keys
from support.repositories.made import in_child

START = datetime(2026, 1, 1, tzinfo=UTC)


def entry(number: int) -> dict[str, object]:
    return {"time": (START + timedelta(hours=number)).isoformat(), "n": number}


def numbers(folder: Path, since: datetime | None = None) -> list[int]:
    return [one["n"] for one in audit_log.read(Folder(folder), since).entries]


def test_lines_are_appended_and_found_by_time_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        for number in range(5):
            audit_log.append(Folder(tmp_path), entry(number))
    finally:
        os.umask(before)
    assert numbers(tmp_path) == [0, 1, 2, 3, 4]
    assert numbers(tmp_path, START + timedelta(hours=3)) == [3, 4]
    assert (tmp_path / "audit.jsonl").stat().st_mode & 0o777 == 0o600


def test_the_log_is_bounded_and_loses_the_oldest_first(tmp_path: Path) -> None:
    for number in range(200):
        audit_log.append(Folder(tmp_path), entry(number), bytes_max=300)
    files = list(tmp_path.iterdir())
    assert len(files) == audit_log.FILES_MAX
    assert all(path.stat().st_size <= 300 for path in files)
    found = numbers(tmp_path)
    assert found == list(range(found[0], 200))
    assert found[0] > 0


def test_a_torn_line_is_counted_and_spoils_no_other(tmp_path: Path) -> None:
    audit_log.append(Folder(tmp_path), entry(1))
    with (tmp_path / "audit.jsonl").open("ab") as file:
        file.write(b'{"time": "2026')
    audit_log.append(Folder(tmp_path), entry(2))
    with (tmp_path / "audit.jsonl").open("ab") as file:
        file.write(json.dumps([1]).encode() + b"\n")
    assert numbers(tmp_path) == [1, 2]
    assert audit_log.read(Folder(tmp_path)).unreadable == 2


def test_processes_that_write_at_once_lose_no_line_over_a_rotation(tmp_path: Path) -> None:
    def write(first: int) -> None:
        for number in range(first, first + 20):
            audit_log.append(Folder(tmp_path), entry(number), bytes_max=1000)

    children = []
    for first in (0, 100, 200):
        child = os.fork()
        if child == 0:
            try:
                write(first)
            finally:
                os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    assert len(numbers(tmp_path)) == 60
    assert in_child(lambda: write(300)) == 0
    assert audit_log.read(Folder(tmp_path)).unreadable == 0


def test_sealed_lines_show_nothing_and_read_back_with_the_keys(tmp_path: Path) -> None:
    for number in range(3):
        audit_log.append(Folder(tmp_path), {**entry(number), "database": "customers"}, keys())
    assert b"customers" not in (tmp_path / "audit.jsonl").read_bytes()
    found = audit_log.read(Folder(tmp_path), None, keys())
    assert [one["n"] for one in found.entries] == [0, 1, 2]
    assert audit_log.read(Folder(tmp_path)).unreadable == 3


def test_a_plain_line_in_a_sealed_log_is_not_believed(tmp_path: Path) -> None:
    audit_log.append(Folder(tmp_path), entry(1), keys())
    audit_log.append(Folder(tmp_path), entry(2))
    found = audit_log.read(Folder(tmp_path), None, keys())
    assert [one["n"] for one in found.entries] == [1]
    assert found.unreadable == 1


def test_the_largest_entry_fits_when_it_is_sealed(tmp_path: Path) -> None:
    audit_log.append(Folder(tmp_path), {**entry(1), "words": "x" * 200_000}, keys())
    assert len(audit_log.read(Folder(tmp_path), None, keys()).entries) == 1
