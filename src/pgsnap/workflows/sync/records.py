"""The record of the last push to each remote, beside the configuration file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, field
from datetime import datetime

from pgsnap.errors import SnapError
from pgsnap.model import Tag
from pgsnap.repository.repository import Repository
from pgsnap.repository.snapshots.label_chains import Chain, Chains
from pgsnap.schedulers.state import State
from pgsnap.values import dataclass


@dataclass(frozen=True, slots=True)
class PushRecord:
    """The last push to a remote. *error* is empty if it succeeded. *newest* has for each label when
    the newest snapshot there was begun, and *refused* the tags (LABEL/NAME) that name another
    snapshot there, as the last push that succeeded left it."""

    remote: str
    time: datetime
    error: str
    last_success: datetime | None
    newest: Mapping[str, datetime] = field(default_factory=dict)
    refused: tuple[str, ...] = ()


def newest_times(repo: Repository, now: datetime) -> dict[str, datetime]:
    """Return for each label when its newest snapshot was begun that is no safety snapshot. Raises
    StoreError, CorruptionError."""
    chains = Chains(repo, now)
    found: dict[str, datetime] = {}
    for label in repo.databases():
        newest = (chains.newest_regular(chain) for chain in chains.of_label(label))
        times = [repo.snapshot(one).time for one in newest if one is not None]
        if times:
            found[label] = max(times)
    return found


def newest_of_servers(repo: Repository, now: datetime) -> dict[tuple[str, str], datetime]:
    """Return the same for each label and the system identifier of each server under it: several
    hosts may push to one repository. Raises StoreError, CorruptionError."""
    chains = Chains(repo, now)
    found: dict[tuple[str, str], datetime] = {}
    for label in repo.databases():
        for server in set(repo.servers_of(label).values()):
            newest = chains.newest_regular(Chain(label, server, (server,)))
            # One of the future is the newest only if there is no other.
            if newest is not None and not chains.is_ahead(newest):
                found[label, server] = repo.snapshot(newest).time
    return found


def record_push(
    state: State,
    name: str,
    failed: SnapError | None,
    now: datetime,
    newest: Mapping[str, datetime] | None = None,
    refused: Sequence[Tag] | None = None,
) -> None:
    """Record how a push ended; if it succeeded, with what is *newest* there, and the tags that were
    *refused*. Raises StoreError."""
    before = last_push(state, name)
    last = now if failed is None else before.last_success if before is not None else None
    known = newest if newest is not None else before.newest if before is not None else {}
    tags = before.refused if before is not None else ()
    if refused is not None:
        tags = tuple(f"{tag.database}/{tag.name}" for tag in refused)
    error = failed.message if failed is not None else ""
    record = PushRecord(name, now, error, last, known, tags)
    times = {
        "time": now.isoformat(),
        "last_success": last.isoformat() if last is not None else None,
        "newest": {label: moment.isoformat() for label, moment in known.items()},
    }
    state.write_json(_name(name), asdict(record) | times)


def last_push(state: State, name: str) -> PushRecord | None:
    """Return the record of the last push to a remote, None if there is none that can be read."""
    found = state.read_json(_name(name))
    try:
        last = found["last_success"]
        return PushRecord(
            str(found["remote"]),
            datetime.fromisoformat(found["time"]),
            str(found["error"]),
            datetime.fromisoformat(last) if last is not None else None,
            {
                label: datetime.fromisoformat(moment)
                for label, moment in found.get("newest", {}).items()
            },
            tuple(map(str, found.get("refused", ()))),
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def _name(name: str) -> str:
    return f"push-{name}"
