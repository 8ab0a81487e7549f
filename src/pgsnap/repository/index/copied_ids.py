"""The ids that are known of what was copied between repositories with different keys.

An id names contents, so whatever the repository, an id of one always has the same id in the other.
Derived: what is missing here is found out again by reading what is copied. Thread-safe.
"""

from __future__ import annotations

import enum
import threading
from collections.abc import Mapping, Sequence

from pgsnap.model import Naming
from pgsnap.repository.index.index import Index

_LOOKUP_BATCH = 500
_SAVED_AT = 2000
_MARK_BYTES = 16
_DOMAIN = b"snap copied id 1\n"


class Role(enum.IntEnum):
    """What an id is of: its bytes are copied as they are, or with other ids in them. Stored, but
    only in the index."""

    DATA = 0
    NODE = 1
    PIECE = 2
    TABLE_NODE = 3
    SNAPSHOT = 4
    NOTE = 5


class CopiedIds:
    """The ids that the *index* of the *target* has of what a *source* names otherwise.

    Each row has a mark that only the repositories' keys can make: one that is damaged or forged
    does not count.
    """

    def __init__(self, index: Index, source: Naming, target: Naming) -> None:
        self._index = index
        self._secret = target if target.key is not None else source
        self._lock = threading.Lock()
        self._unsaved: dict[tuple[bytes, Role], bytes] = {}

    def of(self, old: Sequence[bytes], role: Role) -> dict[bytes, bytes]:
        """Return the new ids of those of *old* whose ids are known."""
        found: dict[bytes, bytes] = {}
        for start in range(0, len(old), _LOOKUP_BATCH):
            batch = old[start : start + _LOOKUP_BATCH]
            marks = ",".join("?" * len(batch))
            rows = self._index.query(
                f"SELECT old, new, mark FROM copied_ids WHERE role = ? AND old IN ({marks})",
                (int(role), *batch),
            )
            found |= {one: new for one, new, mark in rows if mark == self._mark(one, role, new)}
        with self._lock:
            found |= {x: self._unsaved[x, role] for x in old if (x, role) in self._unsaved}
        return found

    def learn(self, new: Mapping[bytes, bytes], role: Role) -> None:
        """Remember new ids by the old ones."""
        with self._lock:
            self._unsaved |= {(old, role): one for old, one in new.items()}
            is_much = len(self._unsaved) >= _SAVED_AT
        if is_much:
            self.save()

    def save(self) -> None:
        """Store what was learned. Raises StoreError."""
        with self._lock:
            unsaved = dict(self._unsaved)
        if not unsaved:
            return
        rows = [
            (old, int(role), new, self._mark(old, role, new))
            for (old, role), new in sorted(unsaved.items())
        ]
        with self._index.transaction() as connection:
            connection.executemany("INSERT OR REPLACE INTO copied_ids VALUES (?, ?, ?, ?)", rows)
        with self._lock:
            for one in unsaved:
                self._unsaved.pop(one, None)

    def _mark(self, old: bytes, role: Role, new: bytes) -> bytes:
        return self._secret.name(b"".join((_DOMAIN, bytes([role]), old, new)))[:_MARK_BYTES]
