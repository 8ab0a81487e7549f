"""From the events of a table's section to blocks of whole rows, without head and tail."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from io import BytesIO

from pgsnap.model import DumpEvent
from pgsnap.tabular.base import BLOCK_BYTES


def row_bytes(events: Iterable[DumpEvent], head_bytes: int, tail_bytes: int) -> Iterator[bytes]:
    """Yield the text of a section's rows, cut anywhere."""
    held = b""
    for event in events:
        if not isinstance(event, bytes):
            continue
        if head_bytes:
            skipped = min(head_bytes, len(event))
            head_bytes -= skipped
            event = event[skipped:]
        # The tail may come in pieces.
        text = held + event if held else event
        cut = max(len(text) - tail_bytes, 0)
        held = text[cut:]
        if cut:
            yield text[:cut]


def row_blocks(pieces: Iterable[bytes], block_bytes: int = BLOCK_BYTES) -> Iterator[bytes]:
    """Yield the same text in blocks of about *block_bytes* that end where rows do. A longer row is
    a block of its own."""
    # Whole rows, and the beginning of one. What is begun grows in place and gives its bytes away: a
    # long row is never held twice.
    rows, begun = BytesIO(), BytesIO()
    for piece in pieces:
        text, start = memoryview(piece), 0
        if begun.tell() > block_bytes:
            if rows.tell():
                yield _taken(rows)
            start = piece.find(b"\n") + 1
            if not start:
                begun.write(text)
                continue
            begun.write(text[:start])
            yield _taken(begun)
        end = piece.rfind(b"\n") + 1
        if end > start:
            rows.write(_taken(begun))
            rows.write(text[start:end])
        begun.write(text[max(start, end) :])
        if rows.tell() >= block_bytes:
            yield _taken(rows)
    for left in (rows, begun):
        if left.tell():
            yield _taken(left)


def _taken(held: BytesIO) -> bytes:
    """Return what is in *held*, which is empty then."""
    whole = held.getvalue()
    held.seek(0)
    held.truncate()
    return whole
