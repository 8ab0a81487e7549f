"""Definitions one by one, as a diff shows them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgsnap.dump.definitions import ddl
from pgsnap.dump.definitions.copy_text import copied_columns, values
from pgsnap.dump.definitions.ddl import ddl_entries, primary_keys, sequence_values
from support.dumps.texts import DUMPS

TEXT = rb"""--
-- Name: f(); Type: FUNCTION; Schema: public; Owner: bob
--

CREATE FUNCTION public.f() RETURNS text LANGUAGE sql AS $$
--
-- Name: fake; Type: TABLE; Schema: public; Owner: bob
--
ALTER TABLE ONLY public.fake
    ADD CONSTRAINT x PRIMARY KEY (id);
$$;


SET default_tablespace = '';

--
-- Name: Odd "Name; Type: TABLE; Schema: public; Owner: bob
--

CREATE TABLE public."Odd ""Name" (
    "Order No" integer NOT NULL
);


--
-- Name: Odd "Name pk; Type: CONSTRAINT; Schema: public; Owner: bob
--

ALTER TABLE ONLY public."Odd ""Name"
    ADD CONSTRAINT pk PRIMARY KEY ("Order No", b) INCLUDE (c);


--
-- Name: i; Type: INDEX; Schema: public; Owner: bob
--

CREATE UNIQUE INDEX i ON ONLY public.t USING btree (lower(a));
"""


def test_entries_are_found_by_their_headers_but_not_inside_of_strings() -> None:
    found = {entry.title: entry.table for entry in ddl_entries(TEXT, "UTF8").values()}
    assert found == {
        "FUNCTION public.f()": None,
        'TABLE public.Odd "Name': ("public", 'Odd "Name'),
        'CONSTRAINT public.Odd "Name pk': ("public", 'Odd "Name'),
        "INDEX public.i": ("public", "t"),
        "SETTING": None,
    }


def test_primary_keys_are_those_of_constraints() -> None:
    assert primary_keys(TEXT, "UTF8") == {("public", 'Odd "Name'): ("Order No", "b")}
    text = (
        b"--\n-- Name: t k; Type: CONSTRAINT; Schema: a; Owner: b\n--\n\nALTER TABLE ONLY a.t\n"
        b"    ADD CONSTRAINT k PRIMARY KEY (id, at WITHOUT OVERLAPS);\n"
    )
    assert primary_keys(text, "UTF8") == {("a", "t"): ("id", "at")}


def test_primary_keys_are_returned_only_of_the_tables_asked_for() -> None:
    assert primary_keys(TEXT, "UTF8", [("public", "t")]) == {}
    odd = ("public", 'Odd "Name')
    assert primary_keys(TEXT, "UTF8", {odd}) == primary_keys(TEXT, "UTF8")


def test_names_of_keys_that_many_tables_have_are_held_once() -> None:
    table = TEXT[TEXT.index(b'--\n-- Name: Odd "Name pk') : TEXT.index(b"--\n-- Name: i;")]
    others = [table.replace(b'Odd ""Name', b"Table %d" % number) for number in range(3)]
    keys = primary_keys(b"".join(others), "UTF8")
    assert set(keys) == {("public", f"Table {number}") for number in range(3)}
    assert len({id(key) for key in keys.values()}) == 1


@pytest.mark.parametrize("path", sorted(DUMPS.glob("odd_15*.sql")), ids=lambda path: path.stem)
@pytest.mark.parametrize("block_bytes", [1, 7, 1000])
def test_definitions_are_the_same_wherever_the_blocks_of_their_text_end(
    path: Path, block_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = path.read_bytes() + TEXT
    entries, keys = ddl_entries(text, "UTF8"), primary_keys(text, "UTF8")
    monkeypatch.setattr(ddl, "READ_BYTES", block_bytes)
    assert ddl_entries(text, "UTF8") == entries
    assert primary_keys(text, "UTF8") == keys
    assert keys


def test_values_of_sequences_are_read() -> None:
    text = (
        b"SELECT pg_catalog.setval('public.a_id_seq', 42, true);\n"
        b"SELECT pg_catalog.setval('public.\"It''s\"', -1, false);\n"
    )
    assert sequence_values(text, "UTF8") == {
        "public.a_id_seq": (42, True),
        'public."It\'s"': (-1, False),
    }


def test_columns_of_a_copy_statement_are_read_where_it_is_pg_dumps() -> None:
    head = b'--\n-- Data\n--\n\nCOPY public."a b(c" (id, "x, ""y)", z) FROM stdin;\n'
    assert copied_columns(head, "UTF8") == ("id", 'x, "y)', "z")
    assert copied_columns(b"COPY t (a) FROM stdin WITH (FORMAT csv);\n", "UTF8") is None
    assert copied_columns(b"COPY t FROM stdin;\n", "UTF8") is None


def test_escapes_of_copy_are_undone() -> None:
    row = rb"\N" + b"\t" + rb"a\tb\nc\\d" + b"\t" + rb"\\N" + b"\t" + rb"\101\x42\q" + b"\t"
    assert values(row) == [None, b"a\tb\nc\\d", b"\\N", b"ABq", b""]
