"""Dumps of any bytes, stored and streamed again: byte for byte, volatile lines put back."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pgsnap.format.sections import decode_piece
from pgsnap.model import SectionKind, SectionName, VolatileKind, VolatileLine
from pgsnap.repository.chunks.ingest import Ingest
from pgsnap.repository.chunks.stream import section_events, snapshot_stream
from pgsnap.repository.repository import Repository
from support.dumps.scripted import Dump, Part, ScriptedSource, rows, shop, text
from support.repositories.made import make, record


@st.composite
def streams(draw: st.DrawFn) -> tuple[Dump, bytes]:
    """Return a dump with volatile lines, and its text with the key KEY in them."""
    parts, lines, whole = [], [], []
    for number in range(draw(st.integers(1, 4))):
        content = draw(st.one_of(st.binary(max_size=200), st.builds(long_text, st.integers(1, 3))))
        part = Part(SectionName(SectionKind.PRE_DATA, part=number), content)
        parts.append(part)
        positions = sorted(draw(st.lists(st.integers(0, len(content)), max_size=3)))
        done = 0
        for position in positions:
            kind = draw(st.sampled_from(list(VolatileKind)))
            stored = {
                VolatileKind.RESTRICT: b"\\restrict old\n",
                VolatileKind.UNRESTRICT: b"\\unrestrict old\n",
                VolatileKind.VERSION: b"-- Dumped by pg_dump version 15.18\n",
            }[kind]
            lines.append(VolatileLine(part.name, position, kind, stored))
            whole += [content[done:position], stored.replace(b" old\n", b" KEY\n")]
            done = position
        whole.append(content[done:])
    return Dump(tuple(parts), tuple(lines)), b"".join(whole)


def long_text(seed: int) -> bytes:
    return b"\n".join(rows(2500, seed=seed))


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    return Repository.open(make(tmp_path_factory.mktemp("streams") / "backups"))


@settings(
    max_examples=60,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(streams(), st.integers(1, 200_000))
def test_a_dump_comes_back_byte_for_byte_with_fresh_keys(
    repo: Repository, stream: tuple[Dump, bytes], block_bytes: int
) -> None:
    from pgsnap.workflows.commit.commit import commit

    dumped, whole = stream
    source = ScriptedSource(dumped, block_bytes=max(block_bytes, 500))
    made = commit(repo, source, database="shop", message="m")
    assert b"".join(snapshot_stream(repo, made.snapshot, restrict_key="KEY")) == whole


def test_what_a_repository_yields_is_what_another_one_stores(tmp_path: Path) -> None:
    """Sections, their counts and digests: restore speaks what commit speaks."""
    with (
        Repository.open(make(tmp_path / "one")) as one,
        Repository.open(make(tmp_path / "other")) as other,
    ):
        made = record(one, shop(3000))
        sections = list(one.sections(made.snapshot))
        assert any(section.rows for section in sections)
        ingest = Ingest(other.chunk_store)
        events = section_events(one, made.snapshot, sections)
        table = ingest.store(events)
        ingest.finish()
        assert table.roots.root == made.snapshot.root
        assert [found for piece, _ in table.pieces() for found in decode_piece(piece)] == sections


def test_neither_globals_nor_the_databases_own_statements_are_sent(tmp_path: Path) -> None:
    dumped = Dump(
        (
            text(SectionKind.PREAMBLE, b"-- a dump\n"),
            text(SectionKind.DATABASE, b"DROP DATABASE shop;\n"),
            text(SectionKind.TRAILER, b"-- end\n"),
            text(SectionKind.GLOBALS, b"CREATE ROLE app;\n"),
        )
    )
    with Repository.open(make(tmp_path / "backups")) as repo:
        made = record(repo, dumped).snapshot
        assert b"".join(snapshot_stream(repo, made, restrict_key=None)) == b"-- a dump\n-- end\n"
        chosen = {SectionName(SectionKind.GLOBALS)}
        sent = snapshot_stream(repo, made, restrict_key=None, sections=chosen)
        assert b"".join(sent) == b"CREATE ROLE app;\n"
