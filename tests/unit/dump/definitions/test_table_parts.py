"""A table's part of a dump, under other names: names are replaced, texts are not."""

from __future__ import annotations

import pytest

from pgsnap.dump.definitions.entry_filter import LeftOut, leave_out
from pgsnap.dump.definitions.mending import Identities
from pgsnap.dump.definitions.table_parts import (
    Definitions,
    parse_name,
    table_parts,
    tables_of,
    with_names,
    without_owner,
)
from pgsnap.dump.definitions.table_tree import partitions_below, with_all_below
from pgsnap.dump.events import text_of
from pgsnap.model import SectionKind, SectionName, SectionStart
from pgsnap.targets.tables.swap import sequence_values_sql
from support.dumps.texts import as_events, pieces

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
    definitions = Definitions.read(pre.encode(), post.encode(), "UTF8")
    parts = table_parts(definitions, ("public", "t"))
    assert parts is not None
    assert parts.indexes == (("public", "t_pkey"), ("public", "i"))
    assert [text.partition("\n")[0] for text in parts.after] == [
        "ALTER TABLE ONLY public.t",
        "CREATE INDEX i ON public.t USING btree (id);",
        "COMMENT ON INDEX public.i IS 'on public.t';",
    ]
    assert table_parts(definitions, ("public", "x")) is None


def test_labels_statistics_and_places_of_a_table_are_parts_of_it() -> None:
    pre = (
        "SET default_tablespace = fast;\n\nSET default_table_access_method = heap;\n\n"
        + entry("t", "TABLE", "CREATE TABLE public.t (\n    id integer\n);")
        + "SET default_tablespace = '';\n\n"
        + entry("u", "TABLE", "CREATE TABLE public.u (\n    id integer\n);")
        + entry("TABLE t", "SECURITY LABEL", "SECURITY LABEL FOR anon ON TABLE public.t IS 'x';")
        + entry("COLUMN t.id", "SECURITY LABEL",
                "SECURITY LABEL FOR anon ON COLUMN public.t.id IS 'MASKED';")
        + entry("COLUMN u.id", "SECURITY LABEL",
                "SECURITY LABEL FOR anon ON COLUMN public.u.id IS 'public.t';")
    )  # fmt: skip
    post = (
        entry("s", "STATISTICS", "CREATE STATISTICS public.s ON a, b FROM public.t;")
        + "SET default_tablespace = fast;\n\n"
        + entry("i", "INDEX", "CREATE INDEX i ON public.t USING btree (id);")
    )
    definitions = Definitions.read(pre.encode(), post.encode(), "UTF8")
    parts = table_parts(definitions, ("public", "t"))
    assert parts is not None
    assert parts.before[0].startswith("SET default_tablespace = fast;\nSET default_table_access")
    assert parts.statistics == (("public", "s"),)
    assert [text.splitlines()[0] for text in parts.after] == [
        "CREATE STATISTICS public.s ON a, b FROM public.t;",
        "SET default_tablespace = fast;",
        "SECURITY LABEL FOR anon ON TABLE public.t IS 'x';",
        "SECURITY LABEL FOR anon ON COLUMN public.t.id IS 'MASKED';",
    ]
    other = table_parts(definitions, ("public", "u"))
    assert other is not None
    assert other.before[0].startswith("SET default_tablespace = '';\n")
    assert len(other.after) == 1


def test_what_belongs_below_a_table_comes_behind_it() -> None:
    pre = (
        entry("a", "TABLE", "CREATE TABLE public.a (\n    id integer\n)\nPARTITION BY LIST (id);")
        + entry("b", "TABLE", "CREATE TABLE public.b (\n    id integer\n);")
        + entry("h", "TABLE", 'CREATE TABLE public.h (\n)\nINHERITS (public.b, public."o,(");')
        + entry("b", "TABLE ATTACH", "ALTER TABLE ONLY public.a ATTACH PARTITION public.b DEFAULT;")
    )
    definitions = Definitions.read(pre.encode(), b"", "UTF8")
    a, b, h = (("public", name) for name in "abh")
    assert list(partitions_below(definitions, [b, a]).items()) == [(a, None), (b, a)]
    assert with_all_below(definitions, [a]) == (a, b, h)
    assert with_all_below(definitions, [("public", "o,(")]) == (("public", "o,("), h)


def test_names_that_hold_the_words_of_a_statement_do_not_mislead() -> None:
    pre = entry("t", "TABLE", "CREATE TABLE public.t (\n    id integer\n);")
    texts = {
        ("RULE", 't "a; b"'): 'CREATE RULE "a; b ON INSERT TO x.y" AS\n    ON DELETE TO public.t DO'
        " NOTHING;",
        ("INDEX", "i"): 'CREATE INDEX "i ON x.y" ON public.t USING btree (id);',
        ("TRIGGER", "t g"): 'CREATE TRIGGER "g ON x.y" BEFORE INSERT OR UPDATE OF "c ON x.y" ON'
        " public.t FOR EACH ROW EXECUTE FUNCTION public.f();",
        ("POLICY", "t p"): 'CREATE POLICY "p\nON x.y" ON public.t USING (true);',
        ("STATISTICS", "s"): "CREATE STATISTICS public.s ON id, (' FROM x.y'::text || id) FROM"
        " public.t;",
        ("ACL", "COLUMN t.c"): 'GRANT SELECT("c ON TABLE x.y") ON TABLE public.t TO bob;',
        ("COMMENT", "COLUMN t.c"): "COMMENT ON COLUMN public.t.\"c ON x.y\" IS 'c';",
    }
    post = "".join(entry(name, kind, text) for (kind, name), text in texts.items())
    definitions = Definitions.read(pre.encode(), post.encode(), "UTF8")
    parts = table_parts(definitions, ("public", "t"))
    assert parts is not None
    assert not parts.obstacle
    assert sorted((*parts.after, *parts.rights)) == sorted(texts.values())
    assert parts.indexes == (("public", "i ON x.y"),)


def test_a_table_is_known_by_the_name_that_its_statement_has() -> None:
    pre = entry("a b", "TABLE", 'CREATE UNLOGGED TABLE public."a\nb" (\n    id integer\n);')
    definitions = Definitions.read(pre.encode(), b"", "UTF8")
    assert tables_of(definitions) == (("public", "a\nb"),)
    assert table_parts(definitions, ("public", "a b")) is None


def test_a_table_made_in_a_session_of_its_owner_s_is_given_to_that_owner() -> None:
    made = "CREATE TABLE public.t (\n    id integer\n);"
    pre = f"SET SESSION AUTHORIZATION 'bob';\n\n{entry('t', 'TABLE', made)}"
    parts = table_parts(Definitions.read(pre.encode(), b"", "UTF8"), ("public", "t"))
    assert parts is not None
    assert parts.before == (made, 'ALTER TABLE "public"."t" OWNER TO "bob";')
    said = f'{made}\n\n\nALTER TABLE public.t OWNER TO "the \nowner";'
    pre = entry("t", "TABLE", said)
    parts = table_parts(Definitions.read(pre.encode(), b"", "UTF8"), ("public", "t"))
    assert parts is not None
    assert parts.before == (said,)


def test_what_may_be_a_part_of_a_table_and_is_not_understood_is_an_obstacle() -> None:
    pre = entry("t", "TABLE", "CREATE TABLE public.t (\n    id integer\n);")
    post = entry("t r", "RULE", "CREATE RULE r IN A NEW WAY ON public.t DO NOTHING;")
    definitions = Definitions.read(pre.encode(), post.encode(), "UTF8")
    parts = table_parts(definitions, ("public", "t"))
    assert parts is not None
    assert parts.obstacle == "it cannot be known whether RULE public.t r belongs to it"


def test_sequences_with_quotes_in_their_names_are_set() -> None:
    names = {("public", "it's_seq"): ("s", "it's_seq")}
    sql = sequence_values_sql(
        {'public."it\'s_seq"': (7, True), "public.other": (1, True)}, names, Identities()
    )
    assert sql == "SELECT pg_catalog.setval('\"s\".\"it''s_seq\"'::regclass, 7, true);\n"


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
    section = SectionName(SectionKind.POST_DATA)
    what = LeftOut(rights=True, keys_between=frozenset({("public", "t")}))
    found = {
        b"".join(text_of(leave_out(as_events(section, *pieces(text, size)), what, "UTF8")))
        for size in (1, 7, len(text))
    }
    (left,) = found
    assert b"GRANT SELECT" not in left
    assert b"FOREIGN KEY" not in left
    assert b"GRANT x TO y" in left
    assert left.count(b"SET ") == 2
    assert b"CREATE INDEX i" in left
    kept = leave_out(as_events(section, text), LeftOut(), "UTF8")
    assert b"".join(text_of(kept)) == text


def test_event_triggers_come_last_and_what_follows_them_stays_on_its_line() -> None:
    trigger = (
        entry("z", "EVENT TRIGGER", "CREATE EVENT TRIGGER z ON sql_drop EXECUTE FUNCTION f();\n\n"
              "ALTER EVENT TRIGGER z DISABLE;")
        + entry("EVENT TRIGGER z", "COMMENT", "COMMENT ON EVENT TRIGGER z IS 'last';")
    )  # fmt: skip
    rest = entry("m", "MATERIALIZED VIEW DATA", "REFRESH MATERIALIZED VIEW public.m;")
    rest += entry("TABLE x", "COMMENT", "COMMENT ON TABLE x IS 'EVENT TRIGGER z';")
    read = [
        SectionName(SectionKind.POST_DATA),
        SectionName(SectionKind.STATISTICS),
        SectionName(SectionKind.POST_DATA, part=1),
        SectionName(SectionKind.TRAILER),
    ]
    parts = zip(read, (trigger, "-- statistics", rest, "-- end"), strict=True)
    events = [event for name, part in parts for event in as_events(name, part.encode())]
    sent = list(leave_out(events, LeftOut(), "UTF8"))
    text = b"".join(text_of(sent)).decode()
    assert text == "\n" * trigger.count("\n") + "-- statistics" + rest + trigger + "-- end"
    # The section behind begins when all of them have gone out.
    assert sent[sent.index(SectionStart(read[3])) :] == as_events(read[3], b"-- end")
