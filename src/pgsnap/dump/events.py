"""Converting the events of a dump to its text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pgsnap.model import DumpEvent, SectionKind, SectionStart


def text_of(events: Iterable[DumpEvent]) -> Iterator[bytes]:
    """Yield the text of the dump with these *events*."""
    for event in events:
        if isinstance(event, bytes):
            yield event


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
