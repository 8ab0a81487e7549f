"""Every example under database/ is one that snap itself reads, and nothing of ours is committed."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgsnap.cli.config.file import load_config
from pgsnap.repository.repository import Repository

DATABASE = Path(__file__).resolve().parents[2] / "database"
EXAMPLES = sorted(DATABASE.rglob("snap.toml"))


def test_there_is_an_example_for_each_place_of_a_database() -> None:
    assert {path.parent.name for path in EXAMPLES} == {
        *("host", "container", "compose", "production")
    }


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
def test_an_example_is_read_without_an_error(path: Path) -> None:
    found = load_config(path)
    assert found.database == "shop"
    assert found.retention is not None
    assert found.services is not None
    assert found.services.names or found.services.own


def test_the_folder_for_backups_becomes_a_repository_and_keeps_its_two_files(
    tmp_path: Path,
) -> None:
    place = tmp_path / "backups"
    place.mkdir(mode=0o755)
    for name in (".gitignore", "README.md"):
        (place / name).write_bytes((DATABASE / "backups" / name).read_bytes())
    Repository.create(place)
    with Repository.open(place) as repo:
        assert repo.databases() == []
    assert place.stat().st_mode & 0o777 == 0o700
    for name in (".gitignore", "README.md"):
        assert (place / name).read_bytes() == (DATABASE / "backups" / name).read_bytes()
    other = tmp_path / "other"
    other.mkdir()
    (other / ".gitignore").write_text("*.log\n")
    Repository.create(other)
    assert "*" in (other / ".gitignore").read_text().splitlines()
