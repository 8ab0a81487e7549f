"""From the events of a table's section to blocks of whole rows, without head and tail."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

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
    held: list[bytes] = []
    size = 0
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size < block_bytes:
            continue
        end = piece.rfind(b"\n") + 1
        if not end:
            continue
        rest = piece[end:]
        held[-1] = piece[:end]
        whole = b"".join(held)
        # A long row is not held twice.
        held, size = [rest] if rest else [], len(rest)
        yield whole
    if size:
        yield b"".join(held)
