"""Folders of the user, outside of any repository."""

from __future__ import annotations

import os
from pathlib import Path

from pgsnap.files.folder import Folder
from pgsnap.files.owned import make_folders
from pgsnap.files.trust import Trust
from pgsnap.repository.places.address import Address


def cache_folder() -> Path | None:
    """Return the folder for the index of a repository on a remote store or read-only media."""
    return _user_folder("XDG_CACHE_HOME", "~/.cache")


def pins_folder() -> Path | None:
    """Return the folder that says which repositories were encrypted."""
    state = state_folder()
    return None if state is None else state / "repositories"


def state_folder() -> Path | None:
    """Return the folder for what is remembered from one run to the next."""
    return _user_folder("XDG_STATE_HOME", "~/.local/state")


def config_folder() -> Path | None:
    """Return the folder of the user's own settings."""
    return _user_folder("XDG_CONFIG_HOME", "~/.config")


def audit_folder(address: Address, trust: Trust) -> Folder | None:
    """Return the folder of a repository's audit log: its own, or for one on a store a folder of
    the user's; None if there is none."""
    if isinstance(address, Path):
        return Folder(address, trust)
    state = state_folder()
    if state is None:
        return None
    from blake3 import blake3

    place = state / "audit" / blake3(address.encode("utf-8", "surrogateescape")).hexdigest(8)
    make_folders(place)
    return Folder(place, trust)


def _user_folder(variable: str, default: str) -> Path | None:
    named = os.environ.get(variable)
    try:
        return (Path(named) if named else Path(default).expanduser()) / "pgsnap"
    except RuntimeError:
        return None
