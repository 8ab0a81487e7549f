"""Converting the events of a dump to its text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from pgsnap.model import DumpEvent, SectionKind, SectionStart


def text_of(events: Iterable[DumpEvent]) -> Iterator[bytes]:
    """Yield the text of the dump with these *events*."""
    for event in events:
        if isinstance(event, bytes):
            yield event


def occurs(is_in: Callable[[bytes], object], blocks: Iterable[bytes], carried_bytes: int) -> bool:
    """Tell whether *is_in* finds something in a text, of which parts are looked at that overlap by
    *carried_bytes*: much cheaper than to hold the text, or to take its entries apart."""
    before = b""
    for block in blocks:
        text = before + block
        if is_in(text):
            return True
        before = text[-carried_bytes:]
    return False


def to_section_end(events: Iterator[DumpEvent]) -> Iterator[bytes]:
    """Consume the rest of the open section, including its end, and yield its text."""
    for event in events:
        if not isinstance(event, bytes):
            return
        yield event


def text_of_kind(events: Iterable[DumpEvent], kind: SectionKind) -> Iterator[bytes]:
    """Yield the text of the sections of one *kind*."""
    is_wanted = False
    for event in events:
        if isinstance(event, bytes):
            if is_wanted:
                yield event
        elif isinstance(event, SectionStart):
            is_wanted = event.name.kind is kind
