"""The marks of CYCLE clauses, from expressions back to constants."""

from __future__ import annotations

import pytest

from pgsnap.dump.definitions.mending import with_constant_marks

_HEAD = b"--\n-- Name: it's; Type: VIEW; Schema: s; Owner: o\n--\n\nCREATE VIEW s.\"it's\" AS\n"


def clause(mark: str, default: str, name: str = "c") -> bytes:
    return f"        ) CYCLE a, b SET {name} TO {mark} DEFAULT {default} USING p\n".encode()


@pytest.mark.parametrize(
    ("shown", "written"),
    [
        (("'y'::text", "'n'::text"), ("text 'y'", "text 'n'")),
        (("'it''s; ) USING'::text", "E'\\\\'::text"), ("text 'it''s; ) USING'", "text E'\\\\'")),
        (("'x'::character varying(3)", "NULL::character varying"),
         ("character varying(3) 'x'", "NULL")),
        (("1", "NULL::integer"), ("1", "NULL")),
        (("'-1'::integer", "2"), ("integer '-1'", "2")),
        (("'1 day'::interval day", "'1'::interval"), ("interval '1 day' day", "interval '1'")),
        (("'1 s'::interval second(3)", "NULL::interval"), ("interval '1 s' second(3)", "NULL")),
        (("'a'::s.\"my:: type\"", "'b'::s.\"my:: type\""),
         ("s.\"my:: type\" 'a'", "s.\"my:: type\" 'b'")),
        (("B'1'::\"bit\"", "B'0'::\"bit\""), ("B'1'", "B'0'")),
        (("'0:00'::time(3) with time zone", "NULL::time with time zone"),
         ("time(3) with time zone '0:00'", "NULL")),
        (("'{1}'::integer[]", "'{}'::integer[]"), ("'{1}'::integer[]", "'{}'::integer[]")),
        (("true", "false"), ("true", "false")),
        (("1.5", "2"), ("1.5", "2")),
    ],
)  # fmt: skip
def test_a_mark_is_written_as_a_constant(shown: tuple[str, str], written: tuple[str, str]) -> None:
    rest = b" SELECT 1;\n"
    assert with_constant_marks(_HEAD + clause(*shown) + rest) == _HEAD + clause(*written) + rest


def test_two_clauses_and_quoted_names_are_changed() -> None:
    shown = clause("'y'::text", "'n'::text", '"to TO "') + clause("'1'::text", "'0'::text")
    written = clause("text 'y'", "text 'n'", '"to TO "') + clause("text '1'", "text '0'")
    assert with_constant_marks(shown) == written


@pytest.mark.parametrize(
    "text",
    [
        _HEAD + b" SELECT ' CYCLE a SET c TO ''''::text DEFAULT ''''::text USING p' AS x;\n",
        _HEAD + b' SELECT 1 AS " CYCLE a SET c TO 1 DEFAULT NULL::integer USING p";\n',
        _HEAD + b" SELECT 1;\n-- CYCLE a SET c TO 'y'::text DEFAULT 'n'::text USING p\n",
        b"CREATE FUNCTION f() RETURNS int\n    LANGUAGE sql\n    AS $$\n" + clause("'y'::text", "1")
        + b"$$;\n",
    ],
)  # fmt: skip
def test_what_is_no_clause_stays(text: bytes) -> None:
    assert with_constant_marks(text) == text
