"""Builders of dump texts, and the way back from events to bytes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pgsnap.dump.events import text_of
from pgsnap.dump.reader import DumpReader, DumpSummary
from pgsnap.dump.volatile import put_back
from pgsnap.model import DumpEvent, SectionEnd, SectionName, SectionStart, VolatileLine

DUMPS = Path(__file__).parents[2] / "data" / "dumps"
KEY = "k" * 63
HEAD = (
    f"--\n-- PostgreSQL database dump\n--\n\n\\restrict {KEY}\n\n"
    "-- Dumped from database version 15.18 (Debian)\n-- Dumped by pg_dump version 17.2\n\n"
    "SET statement_timeout = 0;\nSET client_encoding = 'UTF8';\n"
    "SET standard_conforming_strings = on;\n"
    "SELECT pg_catalog.set_config('search_path', '', false);\nSET row_security = off;\n\n"
)
TAIL = f"--\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict {KEY}\n\n"


# Without a restrict key, so that what comes back is the same to the byte.
_PLAIN = """--
-- PostgreSQL database dump
--

SET client_encoding = 'UTF8';

--
-- Data for Name: t; Type: TABLE DATA; Schema: public; Owner: shop
--

COPY public.t (a) FROM stdin;
{rows}\\.

--
-- PostgreSQL database dump complete
--

"""


def plain_dump(*values: object) -> bytes:
    """Return a whole dump of one table with a row for each of *values*."""
    return _PLAIN.format(rows="".join(f"{value}\n" for value in values)).encode()


@dataclass
class Got:
    """A section as it came out."""

    name: SectionName
    data: bytes
    end: SectionEnd | None


def entry(name: str, kind: str, body: str, *, schema: str = "public", owner: str = "bob") -> str:
    prefix = "Data for " if kind in ("TABLE DATA", "BLOBS") else ""
    return (
        f"--\n-- {prefix}Name: {name}; Type: {kind}; Schema: {schema}; Owner: {owner}\n--\n\n"
        f"{body}\n\n\n"
    )


def rows(table: str, *lines: str, header: str | None = None) -> str:
    copy = "".join(f"{line}\n" for line in (f"COPY {table} (a) FROM stdin;", *lines, "\\."))
    return entry(header or table.rpartition(".")[2], "TABLE DATA", copy.removesuffix("\n"))


def collect(events: Iterable[DumpEvent]) -> list[Got]:
    got: list[Got] = []
    for event in events:
        if isinstance(event, SectionStart):
            assert not got or got[-1].end is not None
            got.append(Got(event.name, b"", None))
        elif isinstance(event, SectionEnd):
            assert got[-1].end is None
            got[-1].end = event
        else:
            assert event
            assert len(event) <= 1 << 20
            assert got[-1].end is None
            got[-1].data += event
    return got


def read(*blocks: bytes | str) -> tuple[list[Got], DumpSummary]:
    parts = [part.encode() if isinstance(part, str) else part for part in blocks]
    reader = DumpReader(parts)
    return collect(reader.events()), reader.summary


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def as_events(name: SectionName, *blocks: bytes) -> list[DumpEvent]:
    """Return the events of one section."""
    return [SectionStart(name), *blocks, SectionEnd()]


def together(got: list[Got], volatile: tuple[VolatileLine, ...], key: str | None = KEY) -> bytes:
    events = [
        event for section in got for event in as_events(section.name, *pieces(section.data, 1000))
    ]
    return b"".join(text_of(put_back(events, volatile, key)))


def names(got: list[Got]) -> list[str]:
    return [str(section.name) for section in got]


def row_count(section: Got) -> int:
    assert section.end is not None
    return section.data.count(b"\n") - section.end.head_lines - section.end.tail_lines
