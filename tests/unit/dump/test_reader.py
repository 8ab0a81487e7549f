"""Sections of dumps: real ones of PostgreSQL 15, and texts made to mislead."""

from __future__ import annotations

import re

import pytest

from pgsnap.dump.reader import DumpReader
from pgsnap.dump.writer import SectionWriter
from pgsnap.errors import DumpIncomplete, UnusableInput
from pgsnap.model import SectionKind, SectionName
from support.dumps.texts import (  # fmt: skip
    DUMPS,
    HEAD,
    TAIL,
    entry,
    names,
    pieces,
    read,
    row_count,
    rows,
    together,
)

TABLES = [
    ("a.b", "c", 3), ("public", "a", 1), ("public", "fk", 0), ("public", "generated", 1),
    ("public", "new\nline; Type: TABLE; Schema: evil", 1), ("public", "nocol", 1),
    ("public", 'o"; Type: DATABASE; Schema: -; Owner: x', 0), ("public", "p1", 9),
    ("public", "p2", 10), ("public", "tt", 1), ("public", "u", 1), ("we ird;x", "ta\tb\"q'üß", 1),
]  # fmt: skip
DATA = [str(SectionName(SectionKind.DATA, schema, name)) for schema, name, _ in TABLES]
SECTIONS = ["preamble", "pre-data", *DATA, "sequences", "large-objects", "post-data", "trailer"]
CREATED = [
    "preamble", "database", "pre-data", *DATA, "sequences", "large-objects", "post-data",
    "database #2", "post-data #2", "trailer",
]  # fmt: skip
FAKE = (
    "\nCOPY public.fake (a) FROM stdin;\n1\n\\.\n\n--\n"
    "-- Name: fake; Type: TABLE; Schema: public; Owner: eve\n--\n\n"
    "--\n-- PostgreSQL database dump complete\n--\n\n\\restrict foo\n\\! ls\n"
    "-- Dumped by pg_dump version 3\n"
)


def dump(*entries: str) -> str:
    return HEAD + "".join(entries) + TAIL


@pytest.mark.parametrize("path", sorted(DUMPS.glob("odd_15*.sql")), ids=lambda path: path.stem)
def test_sections_of_a_real_dump_are_its_bytes_wherever_blocks_end(path) -> None:
    data = path.read_bytes()
    key = re.search(rb"^\\restrict (\w+)$", data, re.M)[1].decode()
    got, summary = read(data)
    assert together(got, summary.volatile, key) == data
    assert together(got, summary.volatile, None).count(key.encode()) == 0
    for size in (1, 2, 7, 64, 1000):
        assert read(*pieces(data, size)) == (got, summary)
    assert summary.is_pg_dump
    assert summary.dump_version.startswith("15.")
    assert summary.dumped_from.startswith("15.")
    assert summary.client_encoding == "UTF8"
    assert not summary.has_meta_commands
    assert summary.owners == ("postgres",)


@pytest.mark.parametrize("cut_step", [1, 2])
def test_no_cut_of_a_real_dump_changes_its_sections(cut_step: int) -> None:
    data = (DUMPS / "odd_15_create_clean.sql").read_bytes()
    half = data[: data.index(b"--\n-- Name: pg_trgm")] if cut_step == 1 else data
    half = half if cut_step == 2 else half + TAIL.encode()
    want = read(half)
    for cut in range(cut_step, len(half), cut_step * cut_step * 3 + 1):
        assert read(half[:cut], half[cut:]) == want, half[max(0, cut - 40) : cut]


@pytest.mark.parametrize(
    "options", ["", "_clean", "_clean_if_exists", "_session_authorization", "_verbose"]
)
def test_a_normal_dump_gives_one_section_of_each_name_in_order(options: str) -> None:
    got, _ = read((DUMPS / f"odd_15{options}.sql").read_bytes())
    assert names(got) == SECTIONS
    assert [(s.name.schema, s.name.name, row_count(s)) for s in got[2:-4]] == TABLES


@pytest.mark.parametrize("options", ["_create", "_create_clean"])
def test_what_concerns_the_database_stands_apart(options: str) -> None:
    got, summary = read((DUMPS / f"odd_15{options}.sql").read_bytes())
    assert names(got) == CREATED
    elsewhere = b"".join(s.data for s in got if s.name.kind is not SectionKind.DATABASE)
    for words in (b"DATABASE app", b"\\connect"):
        assert words not in elsewhere
    database = b"".join(s.data for s in got if s.name.kind is SectionKind.DATABASE)
    assert database.count(b"\\connect app\n") == 2
    assert (b"DROP DATABASE app;" in database) == (options == "_create_clean")
    plain, _ = read((DUMPS / "odd_15.sql").read_bytes())
    assert got[0].data == plain[0].data
    assert got[2].data == plain[1].data
    assert len([line for line in summary.volatile if line.section == got[1].name]) == 4


@pytest.mark.parametrize("options", ["_inserts", "_column_inserts"])
def test_inserts_are_sections_of_their_tables_without_counted_rows(options: str) -> None:
    got, _ = read((DUMPS / f"odd_15{options}.sql").read_bytes())
    want = [name.replace("\n", " ") for name in SECTIONS]
    assert names(got) == want
    assert not any(section.end.is_copy for section in got)
    assert got[2].data.count(b"INSERT INTO") == 3


def test_partitions_loaded_through_their_root_are_parts_of_the_root() -> None:
    got, _ = read((DUMPS / "odd_15_partition_root.sql").read_bytes())
    parts = [section for section in got if section.name.name == "p"]
    assert [(str(s.name), row_count(s)) for s in parts] == [
        ("data public.p", 9), ("data public.p #2", 10),
    ]  # fmt: skip


def test_disabled_triggers_stay_with_their_table() -> None:
    got, _ = read((DUMPS / "odd_15_disable_triggers.sql").read_bytes())
    section = next(section for section in got if section.name.name == "p1")
    assert row_count(section) == 9
    assert b"DISABLE TRIGGER" in section.data[: section.end.head_bytes]
    assert b"ENABLE TRIGGER" in section.data[-section.end.tail_bytes :]


def test_rows_stand_exactly_between_head_and_tail() -> None:
    got, _ = read(dump(rows("public.t", "1", "2\\N")))
    end = got[1].end
    assert got[1].data[end.head_bytes : -end.tail_bytes] == b"1\n2\\N\n"
    assert got[1].data.endswith(b"\\.\n\n\n")
    assert (end.head_lines, end.tail_lines) == (5, 3)


def test_settings_for_an_index_leave_the_rows_before_it_alone() -> None:
    index = entry("i", "INDEX", "CREATE INDEX i ON t (a);")
    got, _ = read(dump(rows("public.t", "1"), "SET default_tablespace = fast;\n\n", index))
    assert names(got) == ["preamble", "data public.t", "post-data", "trailer"]
    assert got[1].data.endswith(b"\\.\n\n\n")
    assert got[2].data.startswith(b"SET default_tablespace = fast;\n\n--\n")


@pytest.mark.parametrize(
    "body",
    [
        f"CREATE FUNCTION f() RETURNS text AS $${FAKE}$$;",
        f"CREATE FUNCTION f() RETURNS text AS $_ö$ $${FAKE}$$ $_ö$;",
        f"COMMENT ON TABLE t IS 'it''s {FAKE}';",
        f"COMMENT ON TABLE t IS E'it\\'s {FAKE}';",
        f'CREATE TABLE "{FAKE}" (a int);',
        f"CREATE VIEW v AS SELECT 1 /* /* {FAKE} */ */;",
        f"INSERT INTO t VALUES ('{FAKE}');",
    ],
)
def test_a_fake_dump_inside_an_object_is_only_text(body: str) -> None:
    text = dump(entry("f", "FUNCTION", body)).encode()
    got, summary = read(text)
    assert names(got) == ["preamble", "pre-data", "trailer"]
    assert len(summary.volatile) == 4
    assert not summary.has_meta_commands
    assert summary.owners == ("bob",)
    assert together(got, summary.volatile) == text


def test_a_fake_dump_inside_rows_is_only_rows() -> None:
    fake = FAKE.replace("\\.\n", "").replace("\\restrict", "\\\\restrict")
    got, summary = read(dump(rows("public.t", *fake.splitlines())))
    assert names(got) == ["preamble", "data public.t", "trailer"]
    assert len(summary.volatile) == 4


def test_a_schema_named_like_a_header_does_not_pass_for_the_database() -> None:
    first = entry("a", "TABLE", "CREATE TABLE a ();")
    evil = entry("t", "TABLE", "CREATE TABLE x.t ();", schema="x; Type: DATABASE; Schema: -")
    grant = entry("DATABASE d", "TABLE", "CREATE TABLE y.d ();", schema="x; Type: ACL; Schema: -")
    for text in (dump(evil, grant), dump(first, evil, grant)):
        assert SectionKind.DATABASE not in {section.name.kind for section in read(text)[0]}


def test_psql_commands_are_noticed_and_kept() -> None:
    got, summary = read(dump(entry("t", "TABLE", "CREATE TABLE t ();\n\\! ls\n\\restrict x")))
    assert summary.has_meta_commands
    assert b"\\! ls\n\\restrict x\n" in got[1].data


def test_settings_of_a_transaction_stay_in_the_preamble() -> None:
    text = dump(entry("t", "TABLE", "CREATE TABLE t ();"))
    got, _ = read(text.replace("SET statement_timeout", "BEGIN;\n\nSET statement_timeout"))
    assert names(got) == ["preamble", "pre-data", "trailer"]
    assert b"BEGIN;" in got[0].data


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_version_lines_are_taken_out_from_between_many_comment_lines(
    end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    comments = "-- a\r-- b\n" * 20_000
    versions = [
        f"-- Dumped from database version 15.18{end}",
        f"-- Dumped by pg_dump version 3{end}",
    ]
    kept = "--\n-- PostgreSQL database dump\n--\n\n" + comments + "-- Dumped by pg_dump versions\n"
    text = (
        kept
        + versions[0]
        + comments
        + versions[1]
        + "\nSET a = 1;\n"
        + TAIL[: TAIL.index("\\unre")]
    )
    puts: list[int] = []
    put = SectionWriter.put

    def counted(self: SectionWriter, data: bytes) -> None:
        puts.append(len(data))
        put(self, data)

    monkeypatch.setattr(SectionWriter, "put", counted)
    got, summary = read(text.encode())
    assert got[0].data == (kept + comments + "\nSET a = 1;\n").encode()
    assert [line.text.decode() for line in summary.volatile] == versions
    assert [line.offset for line in summary.volatile] == [len(kept), len(kept + comments)]
    assert (summary.dumped_from, summary.dump_version) == ("15.18", "3")
    # Many comment lines are one piece.
    assert len(puts) < 100


def test_names_are_read_in_the_encoding_of_the_dump() -> None:
    text = dump(rows('public."größe"', "1")).replace("'UTF8'", "'LATIN1'")
    got, summary = read(text.encode("latin-1"))
    assert got[1].name.name == "größe"
    assert summary.client_encoding == "LATIN1"


def test_large_pieces_pass_through_without_a_copy() -> None:
    block = b"abcdefg\n" * (1 << 17)
    start = HEAD.encode() + b"SELECT 1;\n" * 50 + b"COPY public.t (a) FROM stdin;\n"
    reader = DumpReader([start, block, block, block, b"\\.\n\n\n" + TAIL.encode()])
    assert sum(event is block for event in reader.events()) >= 2


# -- SQL that pg_dump did not write ----------------------------------------------------------------


def test_foreign_sql_is_cut_at_its_copy_blocks() -> None:
    copy = "COPY T (a) FROM stdin;\n1\n\\.\n"
    text = f"-- mine\nCREATE TABLE t (a int);\n{copy}\nCREATE INDEX ON t (a);\n{copy}ANALYZE;\n"
    got, summary = read(text)
    assert [(s.name.kind, s.name.name, s.name.part) for s in got] == [
        (SectionKind.PRE_DATA, "", 0), (SectionKind.DATA, "t", 0), (SectionKind.POST_DATA, "", 0),
        (SectionKind.DATA, "t", 1), (SectionKind.POST_DATA, "", 1),
    ]  # fmt: skip
    assert b"".join(section.data for section in got) == text.encode()
    assert not summary.is_pg_dump
    assert summary.volatile == ()


def test_nothing_is_volatile_in_foreign_sql() -> None:
    text = "SELECT 1;\n" + dump(entry("t", "TABLE", "CREATE TABLE t ();"))
    got, summary = read(text)
    assert names(got) == ["pre-data"]
    assert summary.has_meta_commands
    assert summary.volatile == ()
    assert got[0].data == text.encode()


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize("blocks", [(), (b"",), (b" \n", b"\t\r\n")])
def test_an_empty_dump_is_incomplete(blocks: tuple[bytes, ...]) -> None:
    with pytest.raises(DumpIncomplete, match="empty"):
        read(*blocks)


@pytest.mark.parametrize(
    ("start", "words"),
    [
        (b"PGDMP\1\16\0", "custom format"),
        (b"toc.dat" + b"\0" * 250 + b"ustar\0", "tar format"),
        (b"--\n-- PostgreSQL database cluster dump\n--\n\n", "whole cluster"),
        (b"\xff\xfe-\0-\0", "UTF-16"),
        (b"\xef\xbb\xbf--\n", "byte order mark"),
        (b"SELECT\0", "not text"),
    ],
)
@pytest.mark.parametrize("size", [1, 1000])
def test_what_is_no_plain_dump_is_refused_with_advice(start: bytes, words: str, size: int) -> None:
    with pytest.raises(UnusableInput, match=words) as caught:
        read(*pieces(start + b" " * 600, size))
    assert caught.value.hint


def test_a_dump_with_a_block_of_zeros_in_it_is_refused() -> None:
    whole = dump(rows("t", *["1"] * 2000)).encode()
    with pytest.raises(UnusableInput, match="not text") as caught:
        read(*pieces(whole[:1500] + bytes(512) + whole[2012:], 600))
    assert "damaged" in caught.value.hint


def test_a_real_dump_cut_anywhere_is_incomplete() -> None:
    data = (DUMPS / "odd_15.sql").read_bytes()
    last = data.index(b"\\unrestrict") + len(b"\\unrestrict x")
    for cut in [*range(60, last, 101), *range(last - 80, last)]:
        with pytest.raises(DumpIncomplete):
            read(data[:cut])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("COPY t FROM stdin;\n1\n", "rows of a table"),
        ("SELECT 'x", "quoted string"),
        ("CREATE FUNCTION f() AS $$", "dollar-quoted string"),
        ("SELECT 1; /* x", "a comment"),
        ("SELECT 1;\nSELECT 2", "a statement"),
    ],
)
def test_foreign_sql_that_ends_inside_something_is_incomplete(text: str, words: str) -> None:
    with pytest.raises(DumpIncomplete, match=words):
        read(text)


def test_a_dump_without_its_unrestrict_line_is_incomplete() -> None:
    with pytest.raises(DumpIncomplete, match="as it began"):
        read(dump().partition("\\unrestrict")[0])


@pytest.mark.parametrize("more", ["DROP TABLE t;\n", "\\! ls\n", rows("public.t", "1"), HEAD])
def test_nothing_may_follow_the_end_of_a_dump(more: str) -> None:
    with pytest.raises(UnusableInput, match="follows the end"):
        read(dump() + more)


def test_the_summary_is_not_there_before_the_end() -> None:
    reader = DumpReader([dump().encode()])
    with pytest.raises(RuntimeError):
        _ = reader.summary
