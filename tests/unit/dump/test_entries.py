"""Headers of entries, and the kinds of sections they open."""

from __future__ import annotations

import pytest

from pgsnap.dump.entries import ENTRY, Entry, copied_table, decode, entry_kind, parse_entry
from pgsnap.model import SectionKind
from support.dumps.texts import HEAD, TAIL, entry, names, read, rows

PRE, DATA, POST = SectionKind.PRE_DATA, SectionKind.DATA, SectionKind.POST_DATA
SEQUENCES, LARGE = SectionKind.SEQUENCES, SectionKind.LARGE_OBJECTS


@pytest.mark.parametrize(
    ("line", "want"),
    [
        ("Name: t; Type: TABLE; Schema: public; Owner: bob", ("t", "TABLE", "public", "bob")),
        ("Data for Name: t; Type: TABLE DATA; Schema: s; Owner: -", ("t", "TABLE DATA", "s", "")),
        ("Statistics for Name: t; Type: STATISTICS DATA; Schema: s; Owner: -",
         ("t", "STATISTICS DATA", "s", "")),
        ("Name: f(integer, text); Type: ACL; Schema: -; Owner: a b",
         ("f(integer, text)", "ACL", "", "a b")),
        ("Name: a; Type: b; Type: INDEX; Schema: s; Owner: o; Tablespace: ts",
         ("a; Type: b", "INDEX", "s", "o")),
        ("Name: EXTENSION x; Type: COMMENT; Schema: -; Owner: ",
         ("EXTENSION x", "COMMENT", "", "")),
        ("Name: -; Type: TABLE; Schema: -x; Owner: -y", ("-", "TABLE", "-x", "-y")),
    ],
)  # fmt: skip
@pytest.mark.parametrize("more", ["", "-- TOC entry 7 (class 1 OID 2)\n-- Dependencies: 1 2\n"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_header_is_read_from_its_fixed_end(line: str, want: tuple, more: str, end: str) -> None:
    text = f"-- before\n--\n{more}-- {line}\n--\n".replace("\n", end)
    match = ENTRY.search(text.encode())
    assert match
    assert parse_entry(match) == Entry(*(word.encode() for word in want))


@pytest.mark.parametrize(
    ("type_name", "name", "run", "want"),
    [
        ("TABLE", "t", PRE, PRE),
        ("BLOB", "1", PRE, PRE),
        ("COMMENT", "TABLE t", PRE, PRE),
        ("SECURITY LABEL", "TABLE t", PRE, PRE),
        ("TABLE DATA", "t", PRE, DATA),
        ("SEQUENCE SET", "s", DATA, SEQUENCES),
        ("BLOB METADATA", "1..3", SEQUENCES, LARGE),
        ("COMMENT", "LARGE OBJECT 1", LARGE, LARGE),
        ("BLOBS", "BLOBS", SEQUENCES, LARGE),
        ("STATISTICS DATA", "t", LARGE, SectionKind.STATISTICS),
        ("EXTENDED STATISTICS DATA", "t", POST, SectionKind.STATISTICS),
        ("INDEX", "i", LARGE, POST),
        ("FK CONSTRAINT", "t f", POST, POST),
        ("COMMENT", "INDEX i", POST, POST),
        ("ACL", "TABLE t", POST, POST),
        ("ACL", "LARGE OBJECTS 1..3", LARGE, POST),
        ("MATERIALIZED VIEW DATA", "m", POST, POST),
        ("MATERIALIZED VIEW", "needs_an_index", POST, POST),
        ("FUNCTION", "needs_an_index()", POST, POST),
        ("OF THE FUTURE", "x", PRE, PRE),
        ("OF THE FUTURE", "x", LARGE, LARGE),
        ("OF THE FUTURE", "x", DATA, POST),
        ("DATABASE", "app", PRE, SectionKind.DATABASE),
        ("DATABASE PROPERTIES", "app", PRE, SectionKind.DATABASE),
        ("COMMENT", "DATABASE app", PRE, SectionKind.DATABASE),
        ("ACL", "DATABASE app", POST, SectionKind.DATABASE),
        ("DATABASE", "app", POST, POST),
    ],
)
def test_the_type_of_an_entry_and_what_stood_before_tell_its_kind(
    type_name: str, name: str, run: SectionKind, want: SectionKind
) -> None:
    assert entry_kind(Entry(name.encode(), type_name.encode(), b"public", b""), run) is want


def test_large_objects_of_17_are_one_section_after_the_sequences() -> None:
    got, _ = read(
        HEAD,
        rows("public.t", "1"),
        entry("s", "SEQUENCE SET", "SELECT pg_catalog.setval('public.s', 1, true);"),
        entry("7", "BLOB METADATA", "SELECT pg_catalog.lo_create('7');", schema="-"),
        entry("LARGE OBJECT 7", "COMMENT", "COMMENT ON LARGE OBJECT 7 IS 'x';", schema="-"),
        entry("7..7", "BLOBS", "SELECT pg_catalog.lo_open('7', 131072);", schema="-"),
        entry("LARGE OBJECTS 7..7", "ACL", "GRANT SELECT ON LARGE OBJECT 7 TO bob;", schema="-"),
        TAIL,
    )
    want = ["preamble", "data public.t", "sequences", "large-objects", "post-data", "trailer"]
    assert names(got) == want


@pytest.mark.parametrize(
    ("statement", "want"),
    [
        ("COPY public.t (a) FROM stdin;", ("public", "t")),
        ('COPY "a.b".c FROM stdin;', ("a.b", "c")),
        ('COPY "a""b" . "C;\n d" (x) FROM stdin;', ('a"b', "C;\n d")),
        ("copy Größe from stdin;", ("", "größe")),
        ("\\copy s.t$1 from stdin", ("s", "t$1")),
    ],
)
def test_the_true_name_of_a_table_is_in_its_copy_statement(
    statement: str, want: tuple[str, str]
) -> None:
    assert copied_table(statement.encode(), "UTF8") == want


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("UTF8", "größe"), ("LATIN1", "größe"), ("LATIN9", "€"), ("WIN1251", "кот"),
        ("WIN866", "кот"), ("EUC_JP", "猫"), ("SJIS", "猫"), ("KOI8R", "кот"),
        ("ISO_8859_5", "кот"), ("GB18030", "猫"), ("BIG5", "貓"), ("UHC", "뷁"),
    ],
)  # fmt: skip
def test_names_of_encodings_are_postgresqls(encoding: str, text: str) -> None:
    codecs = {
        "LATIN9": "iso8859_15", "WIN1251": "cp1251", "WIN866": "cp866", "SJIS": "cp932",
        "KOI8R": "koi8_r", "UHC": "cp949",
    }  # fmt: skip
    codec = codecs.get(encoding, encoding)
    assert decode(text.encode(codec), encoding) == text


@pytest.mark.parametrize("encoding", ["", "SQL_ASCII", "MULE_INTERNAL", "UTF8"])
def test_bytes_in_no_known_encoding_survive(encoding: str) -> None:
    assert decode(b"\xe4\xc3\xa4", encoding).encode("utf-8", "surrogateescape") == b"\xe4\xc3\xa4"
