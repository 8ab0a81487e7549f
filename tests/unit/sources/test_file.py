"""Dumps in files: every compression, and every way for a file to be no dump."""

from __future__ import annotations

import gzip
import io
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from contract.source_contract import SourceContract, put_together, read
from pgsnap.errors import DumpIncomplete, UnusableInput, UsageError
from pgsnap.model import SourceKind
from pgsnap.sources.base import Source
from pgsnap.sources.file import FileSource

ROWS = b"".join(b"%d\trow number %d\n" % (number, number * 7919) for number in range(200_000))
DUMP = (
    b"""--
-- PostgreSQL database dump
--

\\restrict 0123456789abcdef

-- Dumped from database version 15.18
-- Dumped by pg_dump version 15.18

SET statement_timeout = 0;
SET client_encoding = 'UTF8';

SET default_tablespace = '';

--
-- Name: t; Type: TABLE; Schema: public; Owner: alice
--

CREATE TABLE public.t (
    id integer,
    name text
);


--
-- Data for Name: t; Type: TABLE DATA; Schema: public; Owner: alice
--

COPY public.t (id, name) FROM stdin;
"""
    + ROWS
    + b"""\\.


--
-- PostgreSQL database dump complete
--

\\unrestrict 0123456789abcdef

"""
)


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=3, write_checksum=True).compress(data)


def zstd_streamed(data: bytes) -> bytes:
    """As the zstd program writes from a pipe: no content size in the header."""
    writer = zstandard.ZstdCompressor(level=1).compressobj()
    return writer.compress(data) + writer.flush()


def two_members(data: bytes) -> bytes:
    return (
        gzip.compress(data[: len(data) // 2], 1)
        + gzip.compress(b"", mtime=0)
        + gzip.compress(data[len(data) // 2 :], 1)
    )


def two_frames(data: bytes) -> bytes:
    skippable = b"\x5a\x2a\x4d\x18\x05\0\0\0hello"
    return (
        skippable
        + zstd(data[: len(data) // 2])
        + zstd_streamed(b"")
        + skippable
        + zstd(data[len(data) // 2 :])
    )


PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": lambda data: gzip.compress(data, 1),
    "gzip of two members": two_members,
    "zstd": zstd,
    "zstd streamed": zstd_streamed,
    "zstd of two frames": two_frames,
}
COMPRESSED = [name for name in PACKINGS if name != "plain"]


class TestFileSource(SourceContract):
    @pytest.fixture(params=PACKINGS)
    def packing(self, request: pytest.FixtureRequest) -> Callable[[bytes], bytes]:
        return PACKINGS[request.param]

    @pytest.fixture
    def text(self) -> bytes:
        return DUMP

    @pytest.fixture
    def source(self, tmp_path: Path, packing: Callable[[bytes], bytes]) -> Source:
        path = tmp_path / "any.name"
        path.write_bytes(packing(DUMP))
        return FileSource(path)

    @pytest.fixture
    def cut_source(self, tmp_path: Path, packing: Callable[[bytes], bytes]) -> Source:
        path = tmp_path / "cut"
        packed = packing(DUMP)
        path.write_bytes(packed[: len(packed) * 2 // 3])
        return FileSource(path)


@pytest.mark.parametrize("packing", PACKINGS)
def test_a_file_gives_its_bytes_and_what_its_header_says(tmp_path: Path, packing: str) -> None:
    path = tmp_path / "nightly.sql.gz"
    path.write_bytes(PACKINGS[packing](DUMP))
    sections, result = read(FileSource(path))
    assert put_together(sections, result) == DUMP
    origin = result.origin
    assert (origin.kind, origin.file_name) == (SourceKind.FILE, "nightly.sql.gz")
    assert (origin.dump_version, origin.owners) == ("15.18", ("alice",))
    assert origin.client_encoding == "UTF8"


@pytest.mark.parametrize("packing", PACKINGS)
def test_a_stream_is_read_like_a_file_also_in_crumbs(packing: str) -> None:
    class Crumbs(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(min(size or 1, 977))

    packed = PACKINGS[packing](DUMP[:1000] + DUMP[-100_000:])
    sections, result = read(FileSource(stream=Crumbs(packed)))
    assert put_together(sections, result) == DUMP[:1000] + DUMP[-100_000:]


@pytest.mark.parametrize("packing", COMPRESSED)
def test_every_cut_of_a_compressed_file_is_noticed(packing: str) -> None:
    packed = PACKINGS[packing](DUMP[:1000] + DUMP[-3000:])
    for end in [*range(1, 60), *range(len(packed) - 60, len(packed))]:
        with pytest.raises((DumpIncomplete, UnusableInput)):
            read(FileSource(stream=io.BytesIO(packed[:end])))


@pytest.mark.parametrize("packing", COMPRESSED)
def test_something_after_the_end_is_noticed(packing: str) -> None:
    packed = PACKINGS[packing](DUMP)
    with pytest.raises(DumpIncomplete, match="cut short or damaged"):
        read(FileSource(stream=io.BytesIO(packed + b"garbage")))


@pytest.mark.parametrize("packing", ["gzip", "zstd"])
def test_a_flipped_bit_is_noticed(packing: str) -> None:
    packed = bytearray(PACKINGS[packing](DUMP))
    packed[len(packed) // 2] ^= 0x10
    with pytest.raises((DumpIncomplete, UnusableInput)):
        read(FileSource(stream=io.BytesIO(packed)))


@pytest.mark.parametrize("packing", ["gzip", "zstd", "zstd streamed"])
def test_a_file_that_expands_a_thousand_times_stays_in_bounded_memory(packing: str) -> None:
    row = b"1\t" + b"0" * (64 << 20) + b"\n"
    packed = PACKINGS[packing](DUMP.replace(ROWS, row))
    assert len(packed) < 500_000
    del row
    source = FileSource(stream=io.BytesIO(packed))
    source.open()
    tracemalloc.start()
    total = sum(len(event) for event in source.events() if isinstance(event, bytes))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert total > 64 << 20
    assert peak < 24 << 20


@pytest.mark.parametrize(
    ("head", "command"),
    [(b"BZh91AY", "bunzip2"), (b"\xfd7zXZ\0\0\0", "xz"), (b"\x04\x22\x4d\x18abcd", "lz4"),
     (b"PK\x03\x04abcd", "unzip")],
)  # fmt: skip
def test_other_compressions_are_refused_with_the_command_that_helps(
    head: bytes, command: str
) -> None:
    with pytest.raises(UnusableInput) as caught:
        read(FileSource(stream=io.BytesIO(head + bytes(100))))
    assert command in caught.value.hint


@pytest.mark.parametrize("data", [b"", gzip.compress(b"", mtime=0), zstd(b""), b" \n"])
def test_an_empty_dump_is_incomplete(data: bytes) -> None:
    with pytest.raises(DumpIncomplete, match="empty"):
        read(FileSource(stream=io.BytesIO(data)))


def test_a_file_that_is_not_there_or_is_a_folder_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        FileSource(tmp_path / "nothing.sql").open()
    with pytest.raises(UsageError, match="is a folder"):
        FileSource(tmp_path).open()


def test_a_file_is_closed_once_it_was_read(tmp_path: Path) -> None:
    path = tmp_path / "dump.sql"
    path.write_bytes(DUMP)
    source = FileSource(path)
    read(source)
    assert source._stream is not None
    assert source._stream.closed
