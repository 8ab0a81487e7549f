"""The key slots of an encrypted repository: added, removed, and all made new by a rotation."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Sequence

from pgsnap.errors import RepositoryError, UsageError, WrongKey
from pgsnap.files.trust import ONLY_OURS, Trust
from pgsnap.model import RepositoryConfig
from pgsnap.repository.config import read_config
from pgsnap.repository.places.opening import Where, place_of
from pgsnap.repository.repository import Repository
from pgsnap.repository.sealed.slots import (
    Slots,
    StoredSlot,
    add_slot,
    read_slots,
    remove_slots,
)
from pgsnap.repository.sealed.unlocking import Unlocked, opened, reopened
from pgsnap.sealing.keys import Keys, derive, new_master
from pgsnap.sealing.slots import SlotKind, new_slot
from pgsnap.sealing.wrapping_keys import Identity, NewOpener, Opener, Recipient, recipient_of
from pgsnap.values import dataclass


@dataclass(frozen=True, slots=True)
class Rotated:
    """What a rotation did: the keys from now on, the slots that hold them, those that are gone."""

    keys: Keys
    kept: tuple[StoredSlot, ...]
    removed: tuple[StoredSlot, ...]


def key_slots(where: Where, *, trust: Trust = ONLY_OURS) -> tuple[RepositoryConfig, Slots]:
    """Return the config and the slots of a repository, for which no key is needed. Raises
    RepositoryError, StoreError."""
    place = place_of(where, trust)
    config = read_config(place)
    if config.encryption is None:
        raise _not_encrypted()
    return config, read_slots(place.store)


def add_key(repo: Repository, opener: NewOpener, *, name: str = "") -> StoredSlot:
    """Add a slot with all keys of *repo* that *opener* opens. Raises RepositoryError, StoreError,
    UsageError."""
    before, unlocked = _now(repo)
    store = repo.place.store
    made = add_slot(store, new_slot(unlocked.masters, repo.config.repository_id, opener, name=name))
    after = read_slots(store)
    came = set(after.sound) - set(before.sound)
    if unlocked.opened not in after.sound or _newer(came, unlocked):
        remove_slots(store, made.id)
        raise _changed()
    return made


def find_key(slots: Slots, prefix: str) -> StoredSlot:
    """Return the slot that the id *prefix* means. Raises UsageError."""
    found = [one for one in slots.sound if one.id.startswith(prefix)] if prefix else []
    if len(found) == 1:
        return found[0]
    raise UsageError(
        f'"{prefix}" {"means several key slots" if found else "is no key slot"}',
        hint="See which slots there are: snap key list",
    )


def opened_slot(
    config: RepositoryConfig, slots: Slots, openers: Iterable[Opener]
) -> StoredSlot | None:
    """Return the slot that the first of *openers* that fits opens; None if none does. Raises
    UsageError."""
    for opener in openers:
        for stored in slots.sound:
            with contextlib.suppress(WrongKey):
                if opened(config, stored, opener):
                    return stored
    return None


def remove_key(repo: Repository, prefix: str, others: Iterable[Opener] = ()) -> StoredSlot:
    """Delete a slot. The one that opened *repo* only if one of *others* opens another: what a slot
    that did not open says of itself, anybody may have written. The caller holds the lock alone.
    Raises RepositoryError, StoreError, UsageError."""
    slots, unlocked = _now(repo)
    found = find_key(slots, prefix)
    if found == unlocked.opened:
        rest = [one for one in slots.sound if one != found]
        if not rest:
            raise RepositoryError(
                f"{found.id} is the last key slot of the repository",
                detail="Without it, nobody could read what is stored.",
                hint="Add another one first: snap key add",
            )
        if not _one_opens(repo.config, rest, unlocked, (unlocked.opener, *others)):
            raise _only_opened(found)
    repo.check_lock()
    remove_slots(repo.place.store, found.id)
    return found


def _one_opens(
    config: RepositoryConfig,
    slots: Sequence[StoredSlot],
    unlocked: Unlocked,
    openers: Iterable[Opener],
) -> bool:
    """Return whether one of *openers* opens a slot with all keys of *unlocked*."""
    for opener in openers:
        for stored in slots:
            with contextlib.suppress(WrongKey):
                other = opened(config, stored, opener)
                if other is not None and other.masters == unlocked.masters:
                    return True
    return False


def _only_opened(found: StoredSlot) -> RepositoryError:
    return RepositoryError(
        f"{found.id} is the key slot that opened the repository, and no other one did in this run",
        detail="The others may hold no key of the repository: an interrupted snap init, or somebody"
        " who can write to the store, may have left them there. Nothing was removed.",
        hint="Run the command with the key that is to stay, such as"
        f" SNAP_PASSPHRASE_FILE=FILE snap key remove {found.id}; if there is none, add it first:"
        " snap key add",
    )


def rotation_drops(repo: Repository, recipients: Sequence[str]) -> tuple[StoredSlot, ...]:
    """Return the slots whose secret a rotation does not have, so that they will be removed."""
    return _drops(read_slots(repo.place.store), _unlocked(repo), recipients)


def _drops(slots: Slots, unlocked: Unlocked, recipients: Sequence[str]) -> tuple[StoredSlot, ...]:
    return tuple(
        one
        for one in slots.sound
        if one.id != unlocked.opened.id
        and not (one.slot.kind is SlotKind.RECIPIENT and one.slot.recipient in recipients)
    )


def rotate_keys(
    repo: Repository,
    recipients: Sequence[str] = (),
    *,
    agreed: Collection[StoredSlot] | None = None,
) -> Rotated:
    """Make a new master key, for all that is written from now on. It is wrapped for the secret
    that opened *repo* and for *recipients*; all other slots are removed. *agreed* says which of
    those whose secret is missing may be, None for all.

    The caller holds the lock alone. If this is cut short, old and new slots are both there, and
    the new ones are used. Raises RepositoryError, StoreError, UsageError.
    """
    store, repository_id = repo.place.store, repo.config.repository_id
    before, unlocked = _now(repo)
    dropped = _drops(before, unlocked, recipients)
    if unlocked.opened != _unlocked(repo).opened or (agreed is not None and {*dropped} - {*agreed}):
        raise _changed()
    if newer := _newer(before.sound, unlocked):
        raise _has_newer(newer, unlocked)
    masters = [*unlocked.masters, new_master()]
    names = {one.slot.recipient: one.slot.name for one in before.sound}
    openers: dict[str, NewOpener] = {text: Recipient(text) for text in recipients}
    own, name = unlocked.opener, unlocked.opened.slot.name
    if not isinstance(own, Identity):
        openers[""], names[""] = own, name
    elif unlocked.opened.slot.recipient not in openers:
        # Not the key that the slot names: somebody may have put theirs there.
        mine = recipient_of(own)
        openers[mine.text], names[mine.text] = mine, name
    slots = [
        new_slot(masters, repository_id, one, name=names.get(text, ""))
        for text, one in openers.items()
    ]
    repo.check_lock()
    kept = tuple(add_slot(store, slot) for slot in slots)
    repo.check_lock()
    remove_slots(store, *(one.id for one in before.sound))
    return Rotated(derive(masters, repository_id), kept, tuple(before.sound))


def _now(repo: Repository) -> tuple[Slots, Unlocked]:
    """Return the slots as they are now, and the newest keys that the secret which opened *repo*
    opens: while a user was asked, another command may have changed them. Raises WrongKey."""
    slots = read_slots(repo.place.store)
    return slots, reopened(repo.config, slots, _unlocked(repo).opener)


def _newer(slots: Iterable[StoredSlot], unlocked: Unlocked) -> list[StoredSlot]:
    """Return those of *slots* that say that they hold keys which *unlocked* lacks."""
    return [one for one in slots if one.slot.epochs > unlocked.keys.epoch]


def _changed() -> RepositoryError:
    return RepositoryError(
        "another command changed the key slots of the repository meanwhile",
        detail="Nothing was changed by this one.",
        hint="Run the command again.",
    )


def _has_newer(newer: Sequence[StoredSlot], unlocked: Unlocked) -> RepositoryError:
    epoch = unlocked.keys.epoch
    names = ", ".join(one.id for one in newer)
    return RepositoryError(
        f"the repository has newer keys than number {epoch}, the newest that opens in this run",
        detail=f"They are in key slot {names}. A rotation without them could make what is encrypted"
        " with them unreadable. Nothing was changed.",
        hint="Open the repository with a key of that slot; or, if somebody put it there who has no"
        f" key of the repository, delete it: snap key remove {newer[0].id}",
    )


def _unlocked(repo: Repository) -> Unlocked:
    if repo.unlocked is None:
        raise _not_encrypted()
    return repo.unlocked


def _not_encrypted() -> WrongKey:
    return WrongKey(
        "the repository is not encrypted, so it has no keys",
        hint="Make one that is: snap init --encrypt PATH",
    )
