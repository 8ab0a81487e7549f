"""The log as a chain: what a store must have if it shows all of its log, and where it does not.

Each entry has the number after, and the id of, the one before. So an entry that was removed leaves
a gap for everybody, unless it was the newest; that is noticed by whoever saw it. Where objects were
deleted, the entry after that lists all snapshots that there are, and the chain begins with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set

from pgsnap.errors import CorruptionError, FormatTooNew, ObjectNotFound, WrongKey
from pgsnap.format.remote import Publication, decode_publication, publication_id
from pgsnap.model import SnapshotId
from pgsnap.repository.index.listing import Entry, Position
from pgsnap.repository.log.publications import Publications
from pgsnap.values import dataclass

_KEPT_AT_ONCE = 50
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Chain:
    """What the log says. *head* is its newest entry, None if it has none that can be read.

    *snapshots* and *names* (of tags and notes) are what the store must have; *faults* why the log
    is not whole, *differences* how it differs from what this host saw before.
    """

    head: Position | None = None
    snapshots: Set[SnapshotId] = frozenset()
    names: Set[str] = frozenset()
    faults: tuple[str, ...] = ()
    differences: tuple[str, ...] = ()


def read_chain(log: Publications) -> Chain:
    """Return what the log says, of which only what this host did not read before is read. Raises
    StoreError."""
    found = _read(log)
    if found.faults or found.differences:
        # A listing beside writers can lack an entry and have the next one.
        found = _read(log)
    return found


def _read(log: Publications) -> Chain:
    # First what is remembered: another process of this host may read further meanwhile.
    remembered = {
        entry.position.number: entry
        for entry in log.listing.entries()
        if publication_id(entry.data) == entry.position.id
    }
    numbers = log.numbers()
    there: dict[int, Entry] = {}
    start, faults = _fetch(log, numbers, remembered, there)
    decoded = {
        number: decode_publication(one.data, number)
        for number, one in (remembered | there).items()
        if number >= start
    }
    broken = _breaks(start, there, decoded)
    # The newest that is known, and those that the next one does not follow, are compared with what
    # is there now.
    compared = {max(there.keys() & remembered.keys(), default=0), *(one - 1 for one in broken)}
    others = [
        one for one in sorted(compared & remembered.keys()) if not _is_there(log, remembered[one])
    ]
    differences = [f"entry {one} is not the one that was seen here before" for one in others]
    if left := [str(one) for one in broken if one - 1 not in others]:
        words = ", ".join(left[:_SHOWN]) + (", …" if len(left) > _SHOWN else "")
        faults.append(f"the entry before was another one when these were written: {words}")
    newest = max(remembered, default=0)
    if numbers and newest > numbers[-1]:
        differences.append(
            f"it ends with entry {numbers[-1]}, and entry {newest} was seen here before"
        )
    elif newest and not numbers:
        faults.append(f"it has no entry, and entry {newest} was seen here before")
    faults += _gaps(start, numbers)
    snapshots = {snapshot for one in decoded.values() for snapshot in one.snapshots}
    # What only this host saw may have been made again in another way: of tags the number differs.
    names = {
        name
        for number, one in decoded.items()
        if number in there and number not in others
        for name in one.names
    }
    log.listing.forget_entries(start)
    head = there[numbers[-1]].position if numbers and numbers[-1] in there else None
    return Chain(head, snapshots, names, tuple(faults), tuple(differences))


def _is_there(log: Publications, entry: Entry) -> bool:
    """Return whether the store has an entry that was read before as it was."""
    try:
        return log.read(entry.position.number)[0].position == entry.position
    except ObjectNotFound:
        # A gc removed it just now.
        return True
    except (CorruptionError, FormatTooNew, WrongKey):
        return False


def _fetch(
    log: Publications,
    numbers: Sequence[int],
    remembered: Mapping[int, Entry],
    there: dict[int, Entry],
) -> tuple[int, list[str]]:
    """Add the entries of the store to *there*, back to the one with which the chain begins. Return
    its number, and the entries that do not read."""
    faults = []
    new: list[Entry] = []
    start = 1
    for number in reversed(numbers):
        try:
            entry = remembered.get(number) or log.read(number)[0]
        except ObjectNotFound:
            continue
        except (CorruptionError, WrongKey) as error:
            faults.append(f"{error.message}. {error.detail}".strip())
            continue
        there[number] = entry
        if number not in remembered:
            new.append(entry)
        if len(new) == _KEPT_AT_ONCE:
            # Whoever has little time goes on from here the next time.
            log.listing.keep_entries(new)
            new = []
        if decode_publication(entry.data, number).is_whole:
            start = number
            break
    log.listing.keep_entries(new)
    return start, faults


def _gaps(start: int, numbers: Sequence[int]) -> list[str]:
    """Return the gaps in *numbers* from *start* on."""
    behind = [number for number in numbers if number >= start]
    faults = []
    last = start - 1
    for number in behind:
        if number > last + 1:
            faults.append(_missing(last + 1, number - 1))
        last = number
    return faults


def _missing(first: int, last: int) -> str:
    if first == last:
        return f"entry {first} is missing"
    return f"the entries {first} to {last} are missing"


def _breaks(
    start: int, there: Mapping[int, Entry], decoded: Mapping[int, Publication]
) -> list[int]:
    """Return the entries that do not follow the one before."""
    return [
        number
        for number in sorted(there)
        if number > start
        and number - 1 in there
        and decoded[number].before != there[number - 1].position.id
    ]
