"""Once encrypted, always: what this user saw of each encrypted repository, and of each remote.

A store that somebody else can write to may one day hold a config that says "not encrypted", or
names other keys; what would be written then could be read by them. So an encrypted repository is
remembered in the user's state folder, by its place and by its id.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import asdict, replace
from pathlib import Path

from blake3 import blake3

from pgsnap.errors import StoreBehind, WrongKey
from pgsnap.files import whole
from pgsnap.files.folder import Folder
from pgsnap.files.owned import make_folders
from pgsnap.format.small import encode_config
from pgsnap.model import RepositoryConfig
from pgsnap.sealing.keys import Keys
from pgsnap.values import dataclass

_BYTES_MAX = 64 * 1024


@dataclass(frozen=True, slots=True)
class Pin:
    """What a repository was when it was last opened. *fingerprint* is "" if it is not encrypted."""

    place: str
    repository_id: str
    fingerprint: str
    epoch: int
    key_id: str = ""
    """That of the newest key, "" if an earlier version remembered it."""
    config: str = ""
    """What else its config said, hashed; "" if an earlier version remembered it."""


class Pins:
    """The pins in *folder*; None: nothing is remembered."""

    def __init__(self, folder: Path | None) -> None:
        self._path = folder

    def was_encrypted(self, place: str) -> bool:
        """Return whether what was last seen in a place was encrypted. Raises OSError,
        UntrustedPath."""
        pin = self._read(_place_name(place))
        return pin is not None and bool(pin.fingerprint)

    def check(self, place: str, config: RepositoryConfig) -> None:
        """Raise WrongKey unless *config* may be that of the repository which was seen there;
        StoreBehind for another one that is not encrypted."""
        for name in (_place_name(place), _id_name(config.repository_id)):
            pin = self._read(name)
            if pin is None:
                continue
            if not pin.fingerprint:
                if pin.repository_id != config.repository_id:
                    raise self._replaced(place, name)
                continue
            if config.encryption is None:
                raise self._refused(
                    f'the repository in "{place}" was encrypted, and its config says that it is'
                    " not",
                    name,
                )
            found = (config.repository_id, config.encryption.fingerprint.hex())
            if found != (pin.repository_id, pin.fingerprint):
                raise self._refused(
                    f'the config of the repository in "{place}" was replaced: it names other keys',
                    name,
                )
            # A repair may have found out since that its store takes one writer at a time.
            before = replace(config, one_writer=False)
            if pin.config not in ("", _digest(config), _digest(before)):
                # It is not sealed, and says how chunks are cut, and whether there is a log.
                raise self._refused(f'the config of the repository in "{place}" was changed', name)

    def check_keys(self, place: str, config: RepositoryConfig, keys: Keys) -> None:
        """Raise WrongKey if the *keys* that were opened are older than those seen before, or not
        those: who had the first key, and was shut out by a rotation, can still make a slot for a
        public key."""
        epoch = keys.epoch
        for name in (_place_name(place), _id_name(config.repository_id)):
            pin = self._read(name)
            if pin is None:
                continue
            if pin.key_id and epoch >= pin.epoch and keys.id_of(pin.epoch).hex() != pin.key_id:
                raise self._refused(
                    f"the repository's key number {pin.epoch} is not the one that it was", name
                )
            if epoch < pin.epoch:
                raise WrongKey(
                    f"the newest key of the repository was number {pin.epoch}, and is number"
                    f" {epoch} now",
                    detail="Its key slots were put back to what they were before a rotation,"
                    " or the slot that was opened was left out of one.",
                    hint="See which slots there are: snap key list",
                )

    def keep(self, place: str, config: RepositoryConfig, keys: Keys) -> None:
        """Remember an encrypted repository that was opened, if the state folder can be written."""
        assert config.encryption is not None
        fingerprint = config.encryption.fingerprint.hex()
        key_id = keys.id_of(keys.epoch).hex()
        known = _digest(config)
        pin = Pin(place, config.repository_id, fingerprint, keys.epoch, key_id, known)
        for name in (_place_name(place), _id_name(config.repository_id)):
            self._write(pin, name)

    def keep_plain(self, place: str, config: RepositoryConfig) -> None:
        """Remember which repository, that is not encrypted, is in the place of a remote."""
        self._write(Pin(place, config.repository_id, "", 0), _place_name(place))

    def _write(self, pin: Pin, name: str) -> None:
        folder = self._folder()
        if folder is not None:
            with contextlib.suppress(OSError):
                if self._read(name) != pin:
                    make_folders(folder.root)
                    folder.make("")
                    whole.write(folder, name, json.dumps(asdict(pin)).encode())

    def forget_place(self, place: str) -> None:
        """Forget what was in a place, where the user makes another repository now."""
        folder = self._folder()
        if folder is not None:
            with contextlib.suppress(OSError):
                folder.unlink(_place_name(place), missing_ok=True)

    def _replaced(self, place: str, name: str) -> StoreBehind:
        assert self._path is not None
        return StoreBehind(
            f'the repository in "{place}" is another one than before',
            detail="It has another id: what was pushed there may be gone, or this may be another"
            " store. Nothing was written.",
            hint="See what is there, and what older states the store keeps. If you made a new one"
            f" there, forget what was seen: rm {self._path / name}",
        )

    def _refused(self, message: str, name: str) -> WrongKey:
        assert self._path is not None
        return WrongKey(
            message,
            detail="Somebody who can write to its store may have done that, to read what is stored"
            " from now on. Nothing was read or written.",
            hint=f"If you did it yourself, forget what was seen: rm {self._path / name}",
        )

    def _folder(self) -> Folder | None:
        if self._path is None:
            return None
        # Only what is above snap's own folder may be a link.
        above = self._path.parent
        return Folder(above.parent, below=f"{above.name}/{self._path.name}")

    def _read(self, name: str) -> Pin | None:
        folder = self._folder()
        if folder is None:
            return None
        try:
            value = json.loads(folder.read(name, _BYTES_MAX))
            pin = Pin(**value)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (ValueError, TypeError, RecursionError):
            raise self._refused("what was seen of the repository cannot be read", name) from None
        texts = (pin.place, pin.repository_id, pin.fingerprint, pin.key_id, pin.config)
        sound = all(isinstance(one, str) for one in texts)
        if not sound or type(pin.epoch) is not int:
            raise self._refused("what was seen of the repository cannot be read", name)
        return pin


def _digest(config: RepositoryConfig) -> str:
    return blake3(encode_config(config)).hexdigest(length=16)


def _place_name(place: str) -> str:
    # A folder is the same one by whichever name.
    folder = place
    if place.startswith("file://"):
        from pgsnap.stores.address import parse

        folder = parse(place).path
    named = os.path.realpath(folder) if "://" not in folder else place.rstrip("/")
    return f"place-{blake3(named.encode('utf-8', 'surrogateescape')).hexdigest(length=16)}.json"


def _id_name(repository_id: str) -> str:
    return f"id-{repository_id}.json"
