"""What a remote holds, without its data: found by a fetch, and known here until the next one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from pgsnap.maintenance.transfer.counterparts import Counterparts
from pgsnap.model import SnapshotId
from pgsnap.repository.repository import Repository
from pgsnap.repository.snapshots.label_chains import Chains
from pgsnap.schedulers.state import State
from pgsnap.values import dataclass

KNOWN_MAX = 10_000
"""How many of a remote's snapshots are known, the newest ones: a record has some 300 bytes."""


@dataclass(frozen=True, slots=True)
class RemoteSnapshot:
    """A snapshot of a remote. *is_here*: this repository has it, or its original, too. *original*
    is the id by which both name it; *server* says which chain it belongs to, "" if its label has
    only one."""

    snapshot_id: SnapshotId
    database: str
    time: datetime
    message: str
    tags: tuple[str, ...]
    is_here: bool
    original: SnapshotId
    server: str


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a remote held at *time*, newest first."""

    remote: str
    time: datetime
    snapshots: tuple[RemoteSnapshot, ...]


@dataclass(frozen=True, slots=True)
class FetchReport:
    """What was found, which of the snapshots are *new* since the last fetch, and which were there
    then and are *gone*."""

    fetched: Fetched
    new: tuple[RemoteSnapshot, ...]
    gone: tuple[SnapshotId, ...]


def fetch(
    other: Repository, repo: Repository, state: State, name: str, now: datetime
) -> FetchReport:
    """Look up what the remote *other*, called *name*, holds, and record it. Nothing of it comes
    into *repo*. Raises StoreError, CorruptionError."""
    before = last_fetch(state, name)
    pair = Counterparts(other, repo)
    tags = other.tags.by_snapshot()
    servers = _servers(other, now)
    found = tuple(
        RemoteSnapshot(
            snapshot,
            head.database,
            head.time,
            head.message,
            tuple(sorted(tags.get(snapshot, ()))),
            pair.is_there(snapshot),
            pair.original(snapshot),
            servers.get(snapshot, ""),
        )
        for snapshot, head in other.heads(other.newest(None, KNOWN_MAX))
    )
    fetched = Fetched(name, now, found)
    state.write_json(_name(name), _to_json(fetched))
    known = {one.snapshot_id for one in before.snapshots} if before is not None else set()
    here = {one.snapshot_id for one in found}
    new = tuple(one for one in found if one.snapshot_id not in known)
    # Beyond the greatest number nothing is known of any.
    gone = sorted(known - here) if len(found) < KNOWN_MAX else ()
    return FetchReport(fetched, new, tuple(gone))


def _servers(other: Repository, now: datetime) -> dict[SnapshotId, str]:
    """Return the chain of each snapshot whose label has several."""
    chains = Chains(other, now)
    found: dict[SnapshotId, str] = {}
    for label in other.databases():
        several = chains.of_label(label)
        for chain in several if len(several) > 1 else ():
            found |= dict.fromkeys(chains.snapshots(chain), chain.server)
    return found


def last_fetch(state: State, name: str) -> Fetched | None:
    """Return what the last fetch from a remote found, None if there is no record that can be
    read."""
    found = state.read_json(_name(name))
    try:
        snapshots = tuple(map(_snapshot, found["snapshots"]))
        return Fetched(str(found["remote"]), _moment(found["time"]), snapshots)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def _to_json(fetched: Fetched) -> dict[str, Any]:
    return {
        "remote": fetched.remote,
        "time": fetched.time.isoformat(),
        "snapshots": [
            asdict(one)
            | {
                "snapshot_id": one.snapshot_id.hex(),
                "original": one.original.hex(),
                "time": one.time.isoformat(),
            }
            for one in fetched.snapshots
        ],
    }


def _snapshot(found: Mapping[str, Any]) -> RemoteSnapshot:
    return RemoteSnapshot(
        bytes.fromhex(found["snapshot_id"]),
        str(found["database"]),
        _moment(found["time"]),
        str(found["message"]),
        tuple(map(str, found["tags"])),
        bool(found["is_here"]),
        # Records of former versions have neither.
        bytes.fromhex(found.get("original", found["snapshot_id"])),
        str(found.get("server", "")),
    )


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("it has no time zone")
    return moment


def _name(name: str) -> str:
    return f"fetch-{name}"
