"""Encrypted repositories for tests: made, opened, and what is stored of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pgsnap import limits
from pgsnap.model import RepositoryConfig
from pgsnap.repository.repository import Repository
from pgsnap.repository.sealed.unlocking import Unlock, Unlocked, unlock
from pgsnap.sealing.wrapping_keys import KeyFile
from pgsnap.stores.base import Store
from support.repositories.keys import FIRST


def make_encrypted(
    path: Path, secret: bytes = FIRST, *, pack_bytes: int = limits.PACK_BYTES
) -> Path:
    """Make a repository in *path* that a key file with *secret* opens."""
    Repository.create(path, opener=KeyFile(secret), pack_bytes=pack_bytes)
    return path


def unlocker(secret: bytes = FIRST) -> Unlock:
    """Return what opens a repository, encrypted or not, with a key file with *secret*."""

    def unlocked(place: str, config: RepositoryConfig, store: Store) -> Unlocked | None:
        return None if config.encryption is None else unlock(config, store, [KeyFile(secret)])

    return unlocked


def opened(path: Path, secret: bytes = FIRST, **options: Any) -> Repository:
    """Open the repository in *path*, encrypted or not; an encrypted one has its index in
    `index_folder`."""
    return Repository.open(
        path, unlock=unlocker(secret), index_folder=index_folder(path), **options
    )


def index_folder(path: Path) -> Path:
    return path.parent / f"index of {path.name}"


def pack_files(path: Path) -> list[Path]:
    return sorted(file for file in (path / "packs").rglob("*") if file.is_file())


def stored_files(path: Path) -> Iterator[Path]:
    """Yield every file of a repository."""
    return (file for file in sorted(path.rglob("*")) if file.is_file())
