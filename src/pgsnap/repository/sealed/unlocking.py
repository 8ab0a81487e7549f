"""From the secrets that a user gives to the keys of a repository."""

from __future__ import annotations

import contextlib
import itertools
import shlex
from collections.abc import Callable, Iterable, Iterator
from dataclasses import field, replace
from typing import Protocol

from pgsnap.errors import WrongKey
from pgsnap.model import Cipher, Encryption, RepositoryConfig
from pgsnap.repository import layout
from pgsnap.repository.sealed.pins import Pins
from pgsnap.repository.sealed.slots import Slots, StoredSlot, read_slots, slot_ids
from pgsnap.sealing.keys import Keys, derive, new_master
from pgsnap.sealing.slots import OPENED_BY, Slot, SlotKind, new_slot, open_slot
from pgsnap.sealing.wrapping_keys import NewOpener, Opener
from pgsnap.stores.base import Store
from pgsnap.values import dataclass


@dataclass(frozen=True, slots=True)
class PassedOver:
    """A key slot that opened, and *why* it cannot be the repository's: for a public key anybody
    can make one."""

    slot: str
    why: str


@dataclass(frozen=True, slots=True)
class Unlocked:
    """An opened repository's keys, the master keys that they come from, and what opened them."""

    keys: Keys
    masters: tuple[bytes, ...] = field(repr=False)
    opened: StoredSlot
    opener: Opener
    passed_over: tuple[PassedOver, ...] = ()


class Unlock(Protocol):
    """Called when a repository is opened; returns None for one that is not encrypted."""

    def __call__(self, place: str, config: RepositoryConfig, store: Store) -> Unlocked | None:
        """Raises WrongKey."""


class Unlocking:
    """Opens repositories with the secrets of this run.

    *openers* yields them, the cheap ones first: a user is asked last, and only once for several
    openings of the same repository. *given* says which setting named a secret, "" if none did.
    *fingerprint* is what snap.toml demands, None for nothing. *remembers*: it is remembered which
    repository is in a place also if it is not encrypted.
    """

    def __init__(
        self,
        openers: Callable[[RepositoryConfig], Iterator[Opener]],
        pins: Pins,
        *,
        given: str = "",
        fingerprint: bytes | None = None,
        remembers: bool = False,
    ) -> None:
        self._remembers = remembers
        self._openers = openers
        self._given = given
        self._fingerprint = fingerprint
        self._found: dict[tuple[str, str, bytes], tuple[Slots, Unlocked]] = {}
        self.pins = pins
        self.seen: dict[str, Unlocked | None] = {}
        """What was opened by now, by place; None: it is not encrypted."""

    def __call__(self, place: str, config: RepositoryConfig, store: Store) -> Unlocked | None:
        self.seen[place] = found = self._opened(place, config, store)
        return found

    def _opened(self, place: str, config: RepositoryConfig, store: Store) -> Unlocked | None:
        self.pins.check(place, config)
        encryption = config.encryption
        found = None if encryption is None else encryption.fingerprint
        if self._fingerprint is not None and found != self._fingerprint:
            raise WrongKey(
                f'the repository in "{place}" does not have the keys that snap.toml demands',
                detail="It has no key." if found is None else f"Its fingerprint is {found.hex()}.",
                hint="If that is as you want it, change key_fingerprint in snap.toml.",
            )
        if encryption is None:
            if self._given:
                raise WrongKey(
                    f'the repository in "{place}" is not encrypted, and {self._given} gives a'
                    " secret for it",
                    detail="What is written to it could be read by anybody who can read its store.",
                    hint=f"If it is not meant to be encrypted, do without {self._given}.",
                )
            if self._remembers:
                self.pins.keep_plain(place, config)
            return None
        slots = read_slots(store)
        before = self._found.get((place, config.repository_id, encryption.fingerprint))
        if before is None:
            openers = itertools.chain(self._fitted(config), self._openers(config))
            unlocked = _Trial(config, slots, place, self.pins).opened_by(openers)
        elif before[0] == slots:
            return before[1]
        else:
            # Another command changed the slots meanwhile, so there may be newer keys.
            unlocked = reopened(config, slots, before[1].opener)
            self.pins.check_keys(place, config, unlocked.keys)
        self.pins.keep(place, config, unlocked.keys)
        self._found[place, config.repository_id, encryption.fingerprint] = slots, unlocked
        return unlocked

    def _fitted(self, config: RepositoryConfig) -> list[Opener]:
        """Return what opened the same repository elsewhere."""
        return [
            unlocked.opener
            for (_, repository_id, _), (_, unlocked) in self._found.items()
            if repository_id == config.repository_id
        ]


def unlocked_by(
    unlock: Unlock | None, place: str, config: RepositoryConfig, store: Store
) -> Unlocked | None:
    """Return what *unlock* gives, None for a repository that is not encrypted. Raises WrongKey,
    for an encrypted one also without an *unlock*."""
    if unlock is not None:
        return unlock(place, config, store)
    if config.encryption is not None:
        raise _Trial(config, read_slots(store), place).none_fits(set())
    return None


def refuse_slots_of_a_plain_one(place: str, store: Store) -> None:
    """Raise WrongKey if there is a key slot in *place*, whose config says that the repository is
    not encrypted. Only `snap init --encrypt` makes slots, and the config of a plain one never comes
    after them. A host that knows a remote one already need not ask each time."""
    slots = slot_ids(store)
    if slots:
        raise WrongKey(
            f'the repository in "{place}" has key slots, and its config says that it is not'
            " encrypted",
            detail="The config was replaced, so that what is written from now on could be read by"
            " anybody who can read the store. Nothing was written.",
            hint="Compare the object config with a copy of it; if the repository never was"
            f" encrypted, delete what is below keys/, as {layout.slot_name(slots[0])}.",
        )


def keys_of(unlocked: Unlocked | None) -> Keys | None:
    return None if unlocked is None else unlocked.keys


def new_keys(config: RepositoryConfig, opener: NewOpener) -> tuple[Encryption, Slot]:
    """Return the encryption of a new repository with *config*, and its first key slot."""
    master = new_master()
    fingerprint = derive([master], config.repository_id).fingerprint
    slot = new_slot([master], config.repository_id, opener)
    return Encryption(Cipher.AES_256_GCM, fingerprint), slot


def unlock(config: RepositoryConfig, store: Store, openers: Iterable[Opener]) -> Unlocked:
    """Return the keys of an encrypted repository, by the first of *openers* that a slot fits.
    Raises WrongKey."""
    return _Trial(config, read_slots(store)).opened_by(openers)


def reopened(config: RepositoryConfig, slots: Slots, opener: Opener) -> Unlocked:
    """Return the newest keys that *opener*, which opened the repository before, opens in *slots*.
    Raises WrongKey."""
    for stored in slots.sound:
        with contextlib.suppress(WrongKey):
            if found := opened(config, stored, opener):
                return found
    raise WrongKey(
        "the key that opened the repository does not open it any more",
        detail="Another command removed its key slot meanwhile. Nothing was changed.",
        hint="See which slots there are: snap key list",
    )


def opened(config: RepositoryConfig, stored: StoredSlot, opener: Opener) -> Unlocked | None:
    """Return the keys that *opener* opens in a slot, None if it does not fit. Raises WrongKey for
    keys of another repository."""
    assert config.encryption is not None
    masters = open_slot(stored.slot, config.repository_id, opener)
    if masters is None:
        return None
    keys = derive(masters, config.repository_id)
    if keys.fingerprint != config.encryption.fingerprint:
        raise WrongKey(
            "the repository's config names other keys than its key slots hold",
            detail="The config, or the slots, are another repository's.",
            hint="Put back the config that belongs to them: snap repair --from PATH",
        )
    return Unlocked(keys, tuple(masters), stored, opener)


class _Trial:
    """Tries secrets on the *slots* of the repository in *place*, "" where it has no name."""

    def __init__(
        self, config: RepositoryConfig, slots: Slots, place: str = "", pins: Pins | None = None
    ) -> None:
        self._config = config
        self._slots = slots
        self._place = place
        self._pins = pins
        self._passed_over: list[PassedOver] = []
        self._first: WrongKey | None = None

    def opened_by(self, openers: Iterable[Opener]) -> Unlocked:
        """Return the keys that the first of *openers* opens which fits. Raises WrongKey."""
        if not self._slots.sound:
            raise _no_slots(self._slots)
        tried: set[SlotKind] = set()
        for opener in openers:
            tried.add(OPENED_BY[type(opener)])
            for stored in self._slots.sound:
                if found := self._opened(stored, opener):
                    return replace(found, passed_over=tuple(self._passed_over))
        raise self._first or self.none_fits(tried)

    def _opened(self, stored: StoredSlot, opener: Opener) -> Unlocked | None:
        try:
            found = opened(self._config, stored, opener)
            if found is not None and self._pins is not None:
                self._pins.check_keys(self._place, self._config, found.keys)
        except WrongKey as error:
            # Whoever can write to the store made it, for a public key: it must not be in the way.
            self._passed_over.append(PassedOver(stored.id, error.message))
            self._first = self._first or error
            return None
        return found

    def none_fits(self, tried: set[SlotKind]) -> WrongKey:
        """Return the error for secrets of the kinds *tried*, of which none fits."""
        there = {stored.slot.kind for stored in self._slots.sound}
        kinds = " or ".join(sorted({f"a {kind}" for kind in there}))
        names = ", ".join(self._slots.damaged)
        damaged = f" Damaged slots: {names}." if names else ""
        where = f" --repo {shlex.quote(self._place)}" if self._place else ""
        look = f"See which slots there are: snap key list{where}"
        if not tried:
            return WrongKey(
                "the repository is encrypted, and no key was given",
                detail=f"It opens with {kinds}.{damaged}",
                hint="Name a file that holds the passphrase, mode 0600:"
                " export SNAP_PASSPHRASE_FILE=FILE; or a key file: --key-file FILE",
            )
        if not tried & there:
            given = " or ".join(sorted(f"a {kind}" for kind in tried))
            return WrongKey(
                f"no key slot of the repository opens with {given}",
                detail=f"It opens with {kinds}.{damaged}",
                hint=look,
            )
        wrong = {
            SlotKind.PASSPHRASE: "wrong passphrase",
            SlotKind.KEY_FILE: "wrong key file",
            SlotKind.RECIPIENT: "wrong identity",
        }
        return WrongKey(
            "; ".join(wrong[kind] for kind in sorted(tried & there)),
            detail=f"No key slot of the repository opens with it.{damaged}",
            hint=look,
        )


def _no_slots(slots: Slots) -> WrongKey:
    if slots.damaged:
        return WrongKey(
            "all key slots of the repository are damaged",
            detail=f"They are {', '.join(slots.damaged)}.",
            hint="Put one of keys/ back from a copy of the repository; without any of them, nobody"
            " can read it.",
        )
    return WrongKey(
        "the key slots of the repository are missing",
        detail="It is encrypted, and its store has no object keys/...",
        hint="Put one of keys/ back from a copy of the repository; without any of them, nobody can"
        " read it.",
    )
