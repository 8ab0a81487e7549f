"""What a store no longer shows: it was put back to an older state, or keeps something back.

A store cannot prove that it shows its newest state. What this host saw before is in its index; what
any writer made visible is in the store's log, a chain. A snapshot that was dropped on purpose has a
note that says so.
"""

from __future__ import annotations

from collections.abc import Set

from pgsnap.maintenance.verify.damage import REPAIR, Damage
from pgsnap.maintenance.verify.object_faults import given_up, logged
from pgsnap.model import SnapshotId
from pgsnap.repository import layout
from pgsnap.repository.log.publications import Publications
from pgsnap.repository.repository import Repository
from pgsnap.repository.snapshots import forgetting
from pgsnap.repository.snapshots.losses import accepted_losses

PUT_BACK = "the store was put back to an older state, or keeps something back"

_SHOWN = 3


def withheld(repo: Repository) -> set[SnapshotId]:
    """Return the snapshots that were seen here, or that the log has if the store was listed, and
    that are gone from the store without a note. No request where there are none but those to read
    the log. Raises StoreError."""
    if not _unexplained(repo):
        return set()
    _list_again(repo)
    # Another host may have forgotten and dropped them since the notes were read.
    forgetting.catch_up(repo.store, repo.index, repo.naming)
    gone = _unexplained(repo)
    return gone - given_up(repo) - accepted_losses(repo).keys() if gone else gone


def not_shown(repo: Repository) -> list[str]:
    """Return, in words, what the store of *repo* does not show. A folder has no log: of it only
    what this host saw counts. Raises StoreError."""
    words = []
    if gone := sorted(withheld(repo)):
        # Seen by this host, or by whoever wrote the log.
        others = f" and {len(gone) - 1} more" if len(gone) > 1 else ""
        words.append(
            f"snapshot {gone[0].hex()[:12]}{others} was seen in {repo.place} before and is not"
            " there any more, though nobody forgot it"
        )
    if faults := log_faults(repo):
        shown = "; ".join(faults[:_SHOWN])
        words.append(f"the log of {repo.place} is not whole: {shown}")
    return words


def log_faults(repo: Repository) -> list[str]:
    """Return, in words, why the log of *repo* is not whole; none if the store was not listed.
    Raises StoreError."""
    chain = repo.chain()
    if chain is None or repo.log is None:
        return []
    gone = _gone(repo.log, chain.names)
    if gone:
        _list_again(repo)
        gone = _gone(repo.log, chain.names)
    faults = [*chain.faults, *(f"what it has as {name} is gone" for name in sorted(gone))]
    if chain.differences and (gone or withheld(repo)):
        faults += chain.differences
    elif chain.differences:
        # All that this host saw is there again: what the store has now is its log.
        repo.log.listing.forget_entries()
    return faults


def log_damage(repo: Repository) -> list[Damage]:
    """Return what `log_faults` does as damage."""
    return [
        Damage("log", layout.LOG, f"It is not whole: {fault}.", (), (), REPAIR)
        for fault in log_faults(repo)
    ]


def _list_again(repo: Repository) -> None:
    """List the store again, after its log was read: what others published since the first time is
    in the log already."""
    if repo.log is not None and repo.log.is_direct:
        repo.log.refresh(whole=True)


def _gone(log: Publications, names: Set[str]) -> set[str]:
    """Return the tags and notes of *names* that the store does not have, nor a newer state."""
    newest: dict[str, str] = {}
    listed = {*log.listing.names(layout.TAGS), *log.listing.names(layout.COLLECTED_NOTES)}
    for name in listed:
        tag, _, number = name.rpartition("/")
        newest[tag] = max(newest.get(tag, ""), number, key=_in_order)
    return {
        name
        for name in names - listed
        if not name.startswith(layout.TAGS)
        or _in_order(newest.get(name.rpartition("/")[0], "")) < _in_order(name.rpartition("/")[2])
    }


def _in_order(number: str) -> tuple[int, str]:
    """Return a key by which numbers are in order that have 8 digits or more."""
    return len(number), number


def _unexplained(repo: Repository) -> set[SnapshotId]:
    gone = set(repo.index.lost_snapshots())
    if in_log := logged(repo):
        gone |= in_log - repo.stored_snapshots()
    return {one for one in gone if repo.forgotten_since(one) is None}
