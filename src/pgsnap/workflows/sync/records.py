"""The record of the last push to each remote, beside the configuration file."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime

from pgsnap.errors import SnapError
from pgsnap.schedulers.state import State


@dataclass(frozen=True, slots=True)
class PushRecord:
    """The last push to a remote. *error* is empty if it succeeded."""

    remote: str
    time: datetime
    error: str
    last_success: datetime | None


def record_push(state: State, name: str, failed: SnapError | None, now: datetime) -> None:
    """Record how a push ended. Raises StoreError."""
    before = last_push(state, name)
    last = now if failed is None else before.last_success if before is not None else None
    record = PushRecord(name, now, failed.message if failed is not None else "", last)
    times = {
        "time": now.isoformat(),
        "last_success": last.isoformat() if last is not None else None,
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
        )
    except (KeyError, TypeError, ValueError):
        return None


def _name(name: str) -> str:
    return f"push-{name}"
