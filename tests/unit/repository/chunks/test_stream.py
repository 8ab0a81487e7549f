"""A snapshot's text: of very many sections few are held at a time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pgsnap.model import Section, SectionKind, SectionName, SectionStart
from pgsnap.repository.chunks import chunks
from pgsnap.repository.chunks.stream import WITH_SEQUENCES, section_events, snapshot_stream
from pgsnap.repository.repository import Repository
from support.dumps.scripted import Dump, table, text
from support.repositories.made import record

TABLES = 200


def test_sections_are_taken_as_their_text_is_needed(
    repo: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    dumped = Dump(tuple(table("s", f"t{number}", [b"1\n"]) for number in range(TABLES)))
    snapshot = record(repo, dumped).snapshot
    # So that a few sections fill a batch.
    monkeypatch.setattr(chunks, "BATCH_BYTES", 4096)
    taken: list[Section] = []
    begun: list[SectionName] = []

    def one_by_one() -> Iterator[Section]:
        for section in repo.sections(snapshot):
            taken.append(section)
            yield section

    most = 0
    blocks = []
    for event in section_events(repo, snapshot, one_by_one()):
        if isinstance(event, SectionStart):
            begun.append(event.name)
        elif isinstance(event, bytes):
            blocks.append(event)
        most = max(most, len(taken) - len(begun))
    assert taken == list(repo.sections(snapshot))
    assert begun == [section.name for section in taken]
    assert b"".join(blocks) == b"".join(content for _, content in dumped.texts)
    assert most < TABLES // 4


def test_what_follows_the_end_mark_goes_before_it(repo: Repository) -> None:
    dumped = Dump(
        (
            text(SectionKind.PREAMBLE, b"-- a dump\n"),
            text(SectionKind.TRAILER, b"-- end\n"),
            text(SectionKind.EXTENSION_SEQUENCES, b"SELECT 1;\n"),
        )
    )
    snapshot = record(repo, dumped).snapshot
    sent = snapshot_stream(repo, snapshot, restrict_key=None, also=WITH_SEQUENCES)
    assert b"".join(sent) == b"-- a dump\nSELECT 1;\n-- end\n"
