"""Encrypted repositories for tests: made, opened, and what must not be in them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pgsnap.repository.repository import Repository
from pgsnap.sealing.keys import derive
from support.repositories.keys import FIRST


def make_encrypted(path: Path) -> Path:
    Repository.create(path)
    return path


def opened(path: Path, *masters: bytes, **options: Any) -> Repository:
    """Open the repository in *path* with these master keys, by default with one."""
    with Repository.open(path) as plain:
        repository_id = plain.config.repository_id
    return Repository.open(path, keys=derive(masters or (FIRST,), repository_id), **options)


def pack_files(path: Path) -> list[Path]:
    return sorted(file for file in (path / "packs").rglob("*") if file.is_file())


def stored_files(path: Path) -> Iterator[Path]:
    """Yield every file of a repository but the index."""
    for file in sorted(path.rglob("*")):
        if file.is_file() and not file.name.startswith("index.sqlite"):
            yield file
