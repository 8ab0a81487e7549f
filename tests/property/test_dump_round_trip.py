"""Random scripts: whatever they hold, their sections are their bytes, wherever blocks end."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from pgsnap.errors import SnapError
from support.dumps.texts import HEAD, TAIL, entry, names, read, rows, together

# What could mislead a lexer, and plain words between it.
TOKENS = st.sampled_from(
    ["'", "''", "\\'", '"', "E'", "$$", "$a$", "$é$", "--", "/*", "*/", ";", "\\", "\\.", "\n",
     "\r\n", "\n\\.\n", " ", "a", "COPY t FROM stdin;\n", "BEGIN;",
     "ALTER TABLE t DISABLE TRIGGER ALL;\n", "DROP DATABASE x;",
     "SET standard_conforming_strings = off;\n",
     "\\restrict x\n", "--\n-- Name: x; Type: INDEX; Schema: s; Owner: o\n--\n\n",
     "--\n-- Data for Name: x; Type: TABLE DATA; Schema: s; Owner: o\n--\n\n",
     "--\n-- PostgreSQL database dump complete\n--\n\n", "SET default_tablespace = '';\n", "é",
     "$1"]
)  # fmt: skip
NOISE = st.lists(TOKENS, max_size=40).map("".join)
CUTS = st.lists(st.integers(0, 1 << 16), max_size=6)
FIELD = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\r\\\0"))


def cut(data: bytes, at: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in at)})
    return [data[start:end] for start, end in pairwise(edges)]


def outcome(blocks: list[bytes]) -> object:
    try:
        return read(*blocks)
    except SnapError as error:
        return error.message


@settings(max_examples=300)
@given(noise=NOISE, head=st.booleans(), tail=st.booleans(), cuts=CUTS)
def test_sections_and_volatile_lines_are_the_script(
    noise: str, head: bool, tail: bool, cuts: list[int]
) -> None:
    data = ((HEAD if head else "") + noise + ("\n" + TAIL if tail else "")).encode()
    whole = outcome([data])
    assert outcome(cut(data, cuts)) == whole
    if not isinstance(whole, str):
        got, summary = whole
        assert together(got, summary.volatile) == data


BODIES = st.one_of(
    NOISE.filter(lambda text: "$q$" not in text).map(lambda text: f"DO $q$ {text} $q$;"),
    NOISE.map(lambda text: "SELECT '{}';".format(text.replace("'", "''"))),
    NOISE.map(lambda text: 'SELECT 1 AS "{}";'.format(text.replace('"', '""'))),
)
ENTRIES = st.one_of(
    BODIES.map(lambda body: ("pre", entry("f", "FUNCTION", body))),
    st.lists(FIELD, max_size=5).map(lambda lines: ("data", rows("public.t", *lines))),
    BODIES.map(lambda body: ("data", entry("t", "TABLE DATA", f"INSERT INTO public.t {body}"))),
)


@settings(max_examples=200)
@given(entries=st.lists(ENTRIES, max_size=6), cuts=CUTS)
def test_whatever_quotes_and_rows_hold_each_entry_stays_itself(
    entries: list[tuple[str, str]], cuts: list[int]
) -> None:
    ordered = [text for kind, text in entries if kind == "pre"]
    tables = [text for kind, text in entries if kind == "data"]
    data = "".join([HEAD, *ordered, *tables, TAIL]).encode()
    got, summary = read(*cut(data, cuts))
    parts = [f"data public.t #{part}" if part > 1 else "data public.t" for part in range(1, 7)]
    pre = ["pre-data"] if ordered else []
    assert names(got) == ["preamble", *pre, *parts[: len(tables)], "trailer"]
    assert [section.data.decode() for section in got[1 + len(pre) : -1]] == tables
    assert together(got, summary.volatile) == data
