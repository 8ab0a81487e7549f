"""What a restore did."""

from __future__ import annotations

from dataclasses import dataclass

from pgsnap.model import SnapshotId


@dataclass(frozen=True, slots=True)
class PhaseSeconds:
    """Wall time of each phase, in seconds. *create* makes the scratch database."""

    safety: float
    create: float
    load: float
    analyze: float
    swap: float


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """What was done. *kept* is where the replaced database is now, None if there was none
    (where it was half-dropped, it can only be dropped); *unreachable_seconds* bounds how long no
    new login could succeed."""

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
