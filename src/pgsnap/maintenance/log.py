"""The log of a remote repository as maintenance leaves it: whole, and short."""

from __future__ import annotations

from pgsnap.errors import CorruptionError
from pgsnap.maintenance.verify.damage import REPAIR
from pgsnap.maintenance.verify.withheld import log_faults
from pgsnap.repository.log.publications import KEPT
from pgsnap.repository.repository import Repository


def check_log(repo: Repository) -> None:
    """Raise CorruptionError if the log is not whole: what is missing of it may be the entry of a
    snapshot whose manifest is kept back."""
    if faults := log_faults(repo):
        raise CorruptionError(
            f"the log of {repo.place} is not whole",
            detail=f"{faults[0][0].upper()}{faults[0][1:]}. Nothing was deleted: a"
            " snapshot may be kept back that needs what would be.",
            hint="See who may write there, and push again from each host; then begin the log"
            f" again: {REPAIR}",
        )


def settle_log(repo: Repository) -> bool:
    """Bring the log up to date with the store, and begin it again if it has become long or is not
    whole. Return whether it was not whole. Raises StoreError."""
    log = repo.log
    if log is None:
        return False
    log.publish()
    repo.look_at_log()
    faults, chain = log_faults(repo), repo.chain()
    assert chain is not None, "it was opened alone"
    stored = repo.stored_snapshots()
    if faults or chain.snapshots != stored or len(log.numbers()) > 2 * KEPT:
        log.begin_again(stored)
    return bool(faults)
