"""What every Source must do. Its users give a `source`, the `text` that it holds, and a
`cut_source` whose dump breaks off."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pgsnap.errors import Interrupted, SourceError
from pgsnap.model import DumpEvent, SectionEnd, SectionKind, SectionName, SectionStart
from pgsnap.sources.base import Source, SourceResult


def read(source: Source) -> tuple[dict[SectionName, bytes], SourceResult]:
    """Read a source to its end; return its sections and its result."""
    source.open()
    return read_opened(source)


def read_opened(source: Source) -> tuple[dict[SectionName, bytes], SourceResult]:
    """Do the same with one that is open, or whose tables changed."""
    sections: dict[SectionName, bytes] = {}
    current: SectionName | None = None
    for event in source.events():
        if isinstance(event, SectionStart):
            assert current is None
            current = event.name
            sections[current] = b""
        elif isinstance(event, SectionEnd):
            assert current is not None
            current = None
        else:
            assert current is not None
            sections[current] += event
    assert current is None
    return sections, source.finish()


def read_on(source: Source, events: Iterator[DumpEvent]) -> None:
    """Read what is left of a source."""
    for _ in events:
        pass
    source.finish()


def put_together(sections: dict[SectionName, bytes], result: SourceResult) -> bytes:
    """Return the dump as it was, volatile lines included, without the globals."""
    text = b""
    for name, data in sections.items():
        if name.kind is SectionKind.GLOBALS:
            continue
        done = 0
        for line in (line for line in result.volatile if line.section == name):
            text += data[done : line.offset] + line.text
            done = line.offset
        text += data[done:]
    return text


class SourceContract:
    def test_sections_and_volatile_lines_are_the_dump(self, source: Source, text: bytes) -> None:
        sections, result = read(source)
        assert put_together(sections, result).splitlines()[20:-5] == text.splitlines()[20:-5]
        assert len(put_together(sections, result)) == len(text)
        assert result.origin.is_pg_dump
        assert result.origin.dump_version

    def test_open_tells_the_kind_that_finish_tells(self, source: Source) -> None:
        opened = source.open()
        for _ in source.events():
            pass
        assert source.finish().origin.kind is opened.kind

    def test_finish_before_the_end_is_refused(self, source: Source) -> None:
        source.open()
        events = source.events()
        next(events)
        with pytest.raises(SourceError):
            source.finish()
        source.abandon()

    def test_a_dump_that_breaks_off_raises(self, cut_source: Source) -> None:
        with pytest.raises(SourceError):
            read(cut_source)
        cut_source.abandon()

    def test_an_abandoned_source_never_finishes(self, source: Source) -> None:
        source.open()
        events = source.events()
        next(events)
        source.abandon()
        source.abandon()
        with pytest.raises((Interrupted, SourceError)):
            read_on(source, events)
        with pytest.raises((Interrupted, SourceError)):
            source.finish()

    def test_abandon_before_open_is_allowed(self, source: Source) -> None:
        source.abandon()
