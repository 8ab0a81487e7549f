"""Mends a config that is damaged or gone: from a copy, or made again; never so that an encrypted
repository becomes a plain one. And one that lets several write to a store that takes one writer.
"""

from __future__ import annotations

import contextlib
import itertools
import secrets
from dataclasses import replace

from pgsnap.errors import CorruptionError, NotARepository, SnapError, StoreError, WrongKey
from pgsnap.format.envelope import HEAD, MAGIC, ObjectKind
from pgsnap.format.small import encode_config
from pgsnap.maintenance.repair.objects import Mended, put_aside
from pgsnap.model import Cipher, RepositoryConfig
from pgsnap.repository import layout
from pgsnap.repository.config import new_config, read_config
from pgsnap.repository.index.index import Index
from pgsnap.repository.places.base import Place
from pgsnap.repository.repository import Repository
from pgsnap.stores.base import Store

# How many objects of a kind are looked at to see whether they are encrypted.
_LOOKED_AT = 20


class ConfigMender:
    """Mends the config in *place*, if need be from *other*, a copy. *is_encrypted*: it is known
    from elsewhere that the repository was."""

    def __init__(self, place: Place, other: Repository | None, *, is_encrypted: bool) -> None:
        self._place = place
        self._other = other
        self._is_encrypted = is_encrypted

    def mended(self, lock_timeout_seconds: float, warnings: list[str]) -> list[Mended]:
        """Write a config if it is damaged or gone and the place is a repository's, or if its store
        takes one writer and it does not say so. Raises NotARepository, RepositoryLocked, WrongKey,
        StoreError."""
        if self._is_whole():
            return self._one_writer(lock_timeout_seconds)
        # Whether it names hosts is not known without a config.
        with self._place.lock(lock_timeout_seconds, alone=True, anonymous=True):
            return [self._mend(warnings)]

    def _is_whole(self) -> bool:
        store = self._place.store
        try:
            config = read_config(self._place)
        except (CorruptionError, NotARepository):
            if not (any(store.list(layout.SNAPSHOTS)) or any(store.list(layout.PACKS))):
                raise
            return False
        if self._other is not None and config.encryption and not self._other.config.encryption:
            raise WrongKey(
                f"{self._other.place} is not encrypted, and the repository is",
                detail="Anybody who can write there could have made what would be taken from it.",
                hint="Name a copy of the repository itself: snap repair --from PATH",
            )
        return True

    def _one_writer(self, lock_timeout_seconds: float) -> list[Mended]:
        """Let a repository take turns that was made where it was not known yet what its store
        honours, or by a version that did not ask."""
        place = self._place
        config = read_config(place)
        takes_one = False
        if place.path is None and not config.one_writer:
            # In a store that cannot be relied on at all something may be mended nevertheless.
            with contextlib.suppress(StoreError):
                takes_one = place.takes_one_writer()
        if not takes_one:
            return []
        place.take_turns()
        with place.lock(lock_timeout_seconds, alone=True):
            place.store.put(layout.CONFIG, encode_config(replace(config, one_writer=True)))
        words = "its store takes one writer at a time: from now on those who write wait in turn"
        return [Mended("config", layout.CONFIG, words)]

    def _mend(self, warnings: list[str]) -> Mended:
        store = self._place.store
        config = self._of_other()
        how = f"taken from {self._other.place}" if self._other is not None else ""
        if self._is_encrypted or _looks_encrypted(store):
            _refuse_plain(config)
        if config is None:
            config = self._made_again(warnings)
            how = "made again, with the sizes that snap uses by default"
        with contextlib.suppress(StoreError):
            put_aside(self._place, layout.CONFIG)
        store.create(layout.CONFIG, encode_config(config))
        return Mended("config", layout.CONFIG, how)

    def _of_other(self) -> RepositoryConfig | None:
        """Return the config of the other repository, if that is a copy of this one."""
        if self._other is None:
            return None
        ours = {info.name for info in self._place.store.list(layout.SNAPSHOTS)}
        is_copy = any(info.name in ours for info in self._other.store.list(layout.SNAPSHOTS))
        return self._other.config if is_copy else None

    def _made_again(self, warnings: list[str]) -> RepositoryConfig:
        owner = _owner(self._place)
        warnings.append(
            "the config was made again: if the repository was made with other chunk sizes, the "
            "next commit stores more than it would have; nothing stored is affected"
        )
        if owner is None:
            warnings.append("the repository has a new identity")
        return new_config(owner or secrets.token_hex(16), self._place)


def _refuse_plain(config: RepositoryConfig | None) -> None:
    if config is None or config.encryption is None:
        raise WrongKey(
            "the repository is encrypted, and its config cannot be made again",
            detail="It says whose keys open it. A new one would let what is written from now on be"
            " read by anybody.",
            hint="Put the object config back from a copy of the repository, or name the copy:"
            " snap repair --from PATH",
        )


def _looks_encrypted(store: Store) -> bool:
    """Return whether anything in *store* shows that the repository is encrypted."""
    if any(store.list(layout.KEYS)):
        return True
    return any(
        _begins_encrypted(store, info.name)
        for prefix in (layout.SNAPSHOTS, layout.PACKS)
        for info in itertools.islice(store.list(prefix), _LOOKED_AT)
    )


def _begins_encrypted(store: Store, name: str) -> bool:
    try:
        magic, letter, _, cipher = HEAD.unpack(store.get(name, 0, HEAD.size))
    except (CorruptionError, StoreError):
        return False
    sealed = letter == ObjectKind.SEALED.value or cipher == Cipher.AES_256_GCM
    return bool(magic == MAGIC and sealed)


def _owner(place: Place) -> str | None:
    """Return the repository's id as the index in its folder knows it."""
    if place.path is None or not (place.path / layout.INDEX_FILE).exists():
        return None
    try:
        index = Index(place.path / layout.INDEX_FILE, place.trust)
    except SnapError:
        return None
    try:
        return index.owner
    except SnapError:
        return None
    finally:
        index.close()
