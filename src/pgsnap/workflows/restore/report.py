"""The report of a restore."""

from __future__ import annotations

from dataclasses import dataclass

from pgsnap.model import SnapshotId


@dataclass(frozen=True, slots=True)
class PhaseSeconds:
    """Wall time of each phase, in seconds. *create* creates the scratch database."""

    safety: float
    create: float
    load: float
    analyze: float
    swap: float


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """What a restore did. *kept* is the replaced database's name now, None if there was none (if it
    was half-dropped, it can only be dropped); *unreachable_seconds* is an upper bound on how long
    new logins failed."""

    snapshot_id: SnapshotId
    database: str
    kept: str | None
    safety: SnapshotId | None
    rows: int
    plain_bytes: int
    seconds: PhaseSeconds
    unreachable_seconds: float
    created_roles: tuple[str, ...]
    discarded: tuple[str, ...]
    warnings: tuple[str, ...]
    kept_is_half_dropped: bool = False
