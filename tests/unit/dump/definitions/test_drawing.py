"""Which generated columns draw from sequences, as the text of a dump tells it."""

from __future__ import annotations

from pgsnap.dump.definitions.drawing import DrawnColumn, drawn_columns
from pgsnap.dump.definitions.entry_stream import entries


def entry(kind: str, name: str, text: str) -> str:
    return f"--\n-- Name: {name}; Type: {kind}; Schema: s; Owner: me\n--\n\n{text}\n\n"


def function(body: str, head: str = "s.f()", options: str = "sql IMMUTABLE") -> str:
    text = f"CREATE FUNCTION {head} RETURNS text\n    LANGUAGE {options}\n    AS $_${body}$_$;"
    return entry("FUNCTION", head.partition(".")[2], text)


def table(expression: str) -> str:
    lines = (
        f'    note text,\n    "No." text GENERATED ALWAYS AS ({expression}) STORED NOT NULL,\n'
        "    id integer NOT NULL"
    )
    return entry("TABLE", "t", f"CREATE TABLE s.t (\n{lines}\n);")


SEQUENCE = entry("SEQUENCE", "z", "CREATE SEQUENCE s.z\n    START WITH 1;")


def found(*parts: str) -> tuple[DrawnColumn, ...]:
    return drawn_columns(entries([part.encode() for part in parts]), "UTF8")


def test_a_sequence_that_is_made_behind_the_table_is_named() -> None:
    drawn = function("SELECT nextval('s.z'::regclass)")
    column = 's.t."No."'
    assert found(drawn, table("s.f()"), SEQUENCE) == (DrawnColumn(column, "s.f", "s.z"),)
    assert found(drawn, SEQUENCE, table("s.f()")) == (DrawnColumn(column, "s.f", ""),)
    # pg_dump breaks some expressions into lines.
    broken = table("\nCASE\n    WHEN (id > 1) THEN s.f()\n    ELSE 'x'::text\nEND")
    assert found(drawn, broken, SEQUENCE) == (DrawnColumn(column, "s.f", "s.z"),)


def test_what_only_looks_like_it_is_not_taken_for_certain() -> None:
    commented = function("/* nextval('s.z') */ SELECT 'a' -- nextval('s.z')\n")
    assert [c.later for c in found(commented, table("s.f()"), SEQUENCE)] == [""]
    drawn = function("SELECT nextval('s.z')")
    overloaded = function("SELECT nextval('s.z')", head="s.f(text)")
    assert [c.later for c in found(drawn, overloaded, table("s.f()"), SEQUENCE)] == [""]
    other = function("SELECT 'a'", head="s.f(text)")
    assert [c.later for c in found(drawn, other, table("s.f(note)"), SEQUENCE)] == [""]
    assert [c.later for c in found(other, drawn, table("s.f(note)"), SEQUENCE)] == [""]
    for options in ("sql IMMUTABLE SECURITY DEFINER", "plpgsql IMMUTABLE"):
        hidden = function("SELECT nextval('s.z')", options=options)
        assert [c.later for c in found(hidden, table("s.f()"), SEQUENCE)] == [""]


def test_columns_that_draw_nothing_are_none() -> None:
    drawn = function("SELECT nextval('s.z')")
    assert found(drawn, table("(note || 'a'::text)"), SEQUENCE) == ()
    assert found(function("SELECT 'a'"), table("s.f()"), SEQUENCE) == ()
    identity = entry(
        "TABLE", "u", "CREATE TABLE s.u (\n    id integer GENERATED ALWAYS AS IDENTITY\n);"
    )
    assert found(drawn, identity, SEQUENCE) == ()


def test_a_function_that_calls_one_that_draws_is_one_too() -> None:
    column = 's.t."No."'
    inner = function("SELECT nextval('s.z')", head="s.inner()")
    for body in ("SELECT s.inner()", "SELECT 'N' || s.inner () /* s.other() */"):
        outer = function(body.replace(" ()", "()"))
        made = found(outer, inner, table("s.f()"), SEQUENCE)
        assert made == (DrawnColumn(column, "s.f", "s.z"),)
        assert found(inner, SEQUENCE, outer, table("s.f()")) == (DrawnColumn(column, "s.f", ""),)
    # The server does not look into one of another language, or with its own search path.
    hidden = function("BEGIN RETURN inner(); END", options="plpgsql IMMUTABLE")
    assert found(hidden, inner, table("s.f()"), SEQUENCE) == (DrawnColumn(column, "s.f", ""),)
    middle = function("SELECT s.inner()", head="s.middle()", options="plpgsql")
    outer = function("SELECT s.middle()")
    assert [c.later for c in found(outer, middle, inner, table("s.f()"), SEQUENCE)] == [""]
    # In a circle, and one of which nothing is known.
    one = function("SELECT s.two()", head="s.one()")
    two = function("SELECT s.one(), s.nothing()", head="s.two()")
    assert found(one, two, table("s.one()"), SEQUENCE) == ()
