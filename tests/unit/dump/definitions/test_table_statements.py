"""Definitions of a table that pg_dump writes, told from all other SQL."""

from __future__ import annotations

import pytest

from pgsnap.dump.definitions.table_statements import foreign_in_types, foreign_statement

WRITTEN = [
    "CREATE UNLOGGED TABLE public.t (\n    id integer DEFAULT 1 NOT NULL,\n"
    "    w text GENERATED ALWAYS AS ('a;b' || E'\\';') STORED\n)\nPARTITION BY RANGE (id)\n"
    "WITH (fillfactor='70');\n\n\nALTER TABLE public.t OWNER TO \"b;ob\";",
    "CREATE TABLE public.t OF public.as_it (\n);",
    "SET default_tablespace = fast;\nCREATE UNIQUE INDEX i ON public.t USING btree (a[1]);",
    'CREATE RULE "r;" AS\n    ON DELETE TO public.t DO ( DELETE FROM public.u;\n NOTIFY gone;\n);',
    "CREATE CONSTRAINT TRIGGER g AFTER INSERT ON public.t FOR EACH ROW EXECUTE FUNCTION f('--');",
    "ALTER TRIGGER g ON public.t DEPENDS ON EXTENSION citext;",
    "SET SESSION AUTHORIZATION bob;\nGRANT SELECT ON TABLE public.t TO x;\n"
    "RESET SESSION AUTHORIZATION;",
    "COMMENT ON TABLE public.t IS E'/* \\\\ */ $$;';",
]
OTHERS = [
    "COMMIT;",
    "CREATE TABLE public.t (a int); COMMIT;",
    "CREATE TABLE public.t (a int);\nROLLBACK",
    "CREATE TABLE public.t AS SELECT 1;",
    "CREATE TABLE public.t (a) AS SELECT 1;",
    "CREATE TABLE public.t (a text DEFAULT $$'$$); COMMIT; --');",
    "CREATE TABLE public.t (a text DEFAULT '\\'); COMMIT; --');",
    "COMMENT ON TABLE public.t IS '' /* ' */; COMMIT; COMMENT ON TABLE public.t IS '';",
    "COMMENT ON TABLE public.t IS aE'\\'; COMMIT; --';",
    "COMMENT ON TABLE public.t IS \u00b7E'\\'; COMMIT; --';",
    "CREATE TABLE public.t (a int; COMMIT;",
    "GRANTS ON x;",
    "SET standard_conforming_strings = off;",
    "DO $$BEGIN END$$;",
    "SELECT 1;",
    "\\! true",
]


@pytest.mark.parametrize("text", WRITTEN)
def test_what_pg_dump_writes_is_known(text: str) -> None:
    assert foreign_statement([text]) == ""


@pytest.mark.parametrize("text", OTHERS)
def test_whatever_else_there_is_is_named(text: str) -> None:
    assert foreign_statement([WRITTEN[0], text]) != ""


@pytest.mark.parametrize("text", OTHERS)
def test_whatever_else_there_is_in_types_is_named(text: str) -> None:
    made = ["CREATE TYPE public.k AS ENUM (\n    'a;'\n);", "CREATE DOMAIN public.d AS integer;"]
    assert foreign_in_types(made) == ""
    assert foreign_in_types([*made, text]) != ""
    assert foreign_in_types([*made, WRITTEN[0]]) != ""
