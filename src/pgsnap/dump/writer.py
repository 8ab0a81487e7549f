"""Builds the events of a dump: sections, their bytes, and the lines taken out of them."""

from __future__ import annotations

from collections import Counter

from blake3 import blake3

from pgsnap.limits import KIB, READ_BYTES
from pgsnap.model import (
    DumpEvent,
    SectionEnd,
    SectionKind,
    SectionName,
    SectionStart,
    VolatileKind,
    VolatileLine,
)

# Smaller pieces are joined; larger ones are passed on without a copy.
_JOIN_BYTES = 64 * KIB


class SectionWriter:
    """Collects events until `drain` is called. At most one section is open at a time."""

    def __init__(self) -> None:
        self.name: SectionName | None = None
        self.volatile: list[VolatileLine] = []
        self._events: list[DumpEvent] = []
        self._joined: list[bytes] = []
        self._joined_bytes = 0
        self._section_bytes = 0
        self._seen: set[bytes] = set()
        self._times: Counter[bytes] = Counter()
        self._end = SectionEnd()
        self._tail: list[int] | None = None

    @property
    def kind(self) -> SectionKind | None:
        """Return the kind of the open section, None if none is open."""
        return self.name.kind if self.name else None

    @property
    def has_rows(self) -> bool:
        """Return whether the open section is one of COPY rows."""
        return self._end.is_copy

    def start(self, kind: SectionKind, schema: str = "", name: str = "") -> None:
        """Close the open section and begin another, with the next free part number."""
        self.close()
        part = self._part(kind, schema, name)
        self.name = SectionName(kind, schema, name, part)
        self._section_bytes = 0
        self._events.append(SectionStart(self.name))

    def _part(self, kind: SectionKind, schema: str, name: str) -> int:
        # The names of 200,000 tables would take 50 MB, and hardly any occurs twice.
        key = blake3("\0".join((kind, schema, name)).encode("utf-8", "surrogateescape"))
        seen = key.digest(16)
        if seen not in self._seen:
            self._seen.add(seen)
            return 0
        self._times[seen] += 1
        return self._times[seen]

    def head(self, data: bytes) -> None:
        """Add everything that precedes the rows in a section of rows."""
        self._end = SectionEnd(True, len(data), data.count(b"\n"))
        self.put(data)

    def begin_tail(self) -> None:
        """Count what follows as the tail, after the rows."""
        self._tail = [0, 0]

    def put(self, data: bytes) -> None:
        """Add bytes to the open section."""
        if not data:
            return
        if self._tail is not None:
            self._tail[0] += len(data)
            self._tail[1] += data.count(b"\n")
        self._section_bytes += len(data)
        if len(data) < _JOIN_BYTES:
            self._joined.append(data)
            self._joined_bytes += len(data)
            if self._joined_bytes >= READ_BYTES - _JOIN_BYTES:
                self._flush()
            return
        self._flush()
        if len(data) <= READ_BYTES:
            self._events.append(data)
            return
        for start in range(0, len(data), READ_BYTES):
            self._events.append(data[start : start + READ_BYTES])

    def take_out(self, kind: VolatileKind, text: bytes) -> None:
        """Record a volatile line where the open section now ends."""
        if self.name is None:
            raise ValueError("no section is open")
        self.volatile.append(VolatileLine(self.name, self._section_bytes, kind, text))

    def close(self) -> None:
        """End the open section, if there is one."""
        if self.name is None:
            return
        self._flush()
        end, tail = self._end, self._tail or (0, 0)
        self._events.append(
            SectionEnd(end.is_copy, end.head_bytes, end.head_lines, tail[0], tail[1])
        )
        self.name, self._end, self._tail = None, SectionEnd(), None

    def drain(self) -> list[DumpEvent]:
        """Return the events since the last call, keeping back small pieces to be joined."""
        events, self._events = self._events, []
        return events

    def _flush(self) -> None:
        if self._joined:
            self._events.append(b"".join(self._joined))
            self._joined, self._joined_bytes = [], 0
