"""A table's part of a dump, under other names: names are replaced, texts are not."""

from __future__ import annotations

import pytest

from pgsnap.dump.entry_filter import LeftOut, leave_out
from pgsnap.dump.table_parts import parse_name, table_parts, with_names, without_owner
from pgsnap.model import Section, SectionKind, SectionName

NAMES = {("public", "t"): ("s", "t"), ("public", "T q"): ("s", "T q")}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ALTER TABLE ONLY public.t ADD", 'ALTER TABLE ONLY "s"."t" ADD'),
        ('ON public."T q"(a)', 'ON "s"."T q"(a)'),
        ("OWNED BY public.t.id;", 'OWNED BY "s"."t".id;'),
        ("nextval('public.t'::regclass)", 'nextval(\'"s"."t"\'::regclass)'),
        ("DEFAULT 'public.t'::text", "DEFAULT 'public.t'::text"),
        ("E'it\\'s public.t' || public.t", 'E\'it\\\'s public.t\' || "s"."t"'),
        ("'it''s public.t', public.tt, xpublic.t", "'it''s public.t', public.tt, xpublic.t"),
        ('"a public.t b" = public.t', '"a public.t b" = "s"."t"'),
    ],
)
def test_only_whole_qualified_names_are_replaced(text: str, expected: str) -> None:
    assert with_names(text, NAMES) == expected


def entry(name: str, kind: str, text: str) -> str:
    return f"--\n-- Name: {name}; Type: {kind}; Schema: public; Owner: bob\n--\n\n{text}\n\n\n"


def test_parts_of_a_table_are_told_from_those_of_others() -> None:
    pre = entry("t", "TABLE", "CREATE TABLE public.t (\n    id integer\n);") + entry(
        "tt", "TABLE", "CREATE TABLE public.tt (\n    id integer\n);"
    )
    post = (
        entry("t t_pkey", "CONSTRAINT",
              "ALTER TABLE ONLY public.t\n    ADD CONSTRAINT t_pkey PRIMARY KEY (id);")
        + entry("i", "INDEX", "CREATE INDEX i ON public.t USING btree (id);")
        + entry("INDEX i", "COMMENT", "COMMENT ON INDEX public.i IS 'on public.t';")
        + entry("ii", "INDEX", "CREATE INDEX ii ON public.tt USING btree (id);")
        + entry("INDEX ii", "COMMENT", "COMMENT ON INDEX public.ii IS 'on public.t';")
    )  # fmt: skip
    parts = table_parts(pre.encode(), post.encode(), "UTF8", ("public", "t"))
    assert parts is not None
    assert parts.indexes == (("public", "t_pkey"), ("public", "i"))
    assert [text.partition("\n")[0] for text in parts.after] == [
        "ALTER TABLE ONLY public.t",
        "CREATE INDEX i ON public.t USING btree (id);",
        "COMMENT ON INDEX public.i IS 'on public.t';",
    ]
    assert table_parts(pre.encode(), b"", "UTF8", ("public", "x")) is None


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Orders", ("public", "orders")),
        ('shop."Order Items"', ("shop", "Order Items")),
        ("a.b.c", None),
        ("a; DROP TABLE b", None),
        ("", None),
    ],
)
def test_names_are_read_as_sql_reads_them(text: str, name: tuple[str, str] | None) -> None:
    assert parse_name(text) == name


def test_the_owner_is_left_out_and_a_body_that_looks_like_one_is_not() -> None:
    body = "CREATE FUNCTION f() AS $$\nALTER TABLE a OWNER TO b;\n$$;"
    assert without_owner(f"{body}\n\n\nALTER FUNCTION f() OWNER TO b;").rstrip() == body
    assert without_owner(body) == body


def test_filters_pass_on_all_else_byte_for_byte_whatever_the_blocks() -> None:
    text = (
        "SET a = 1;\n\n"
        + entry("f()", "FUNCTION", "CREATE FUNCTION f() AS $$\nGRANT x TO y;\n$$;")
        + entry("TABLE t", "ACL", "GRANT SELECT ON TABLE public.t TO bob;")
        + "SET b = 2;\n\n"
        + entry("t k", "FK CONSTRAINT", "ALTER TABLE ONLY public.t\n    ADD CONSTRAINT k FOREIGN"
                " KEY (a) REFERENCES public.u(a);")
        + entry("i", "INDEX", "CREATE INDEX i ON public.t USING btree (id);")
    ).encode()  # fmt: skip
    section = Section(SectionName(SectionKind.POST_DATA), len(text), 0, b"", ())
    what = LeftOut(rights=True, keys_between=frozenset({("public", "t")}))
    found = {
        b"".join(
            leave_out(
                [text[n : n + size] for n in range(0, len(text), size)],
                lambda: section,
                what,
                "UTF8",
            )
        )
        for size in (1, 7, len(text))
    }
    (left,) = found
    assert b"GRANT SELECT" not in left
    assert b"FOREIGN KEY" not in left
    assert b"GRANT x TO y" in left
    assert left.count(b"SET ") == 2
    assert b"CREATE INDEX i" in left
    kept = b"".join(leave_out([text], lambda: section, LeftOut(), "UTF8"))
    assert kept == text
