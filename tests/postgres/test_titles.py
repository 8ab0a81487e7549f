"""What diffs and drills call an entry of a dump reads like the SQL that makes it."""

from __future__ import annotations

from pgsnap.dump.definitions.ddl import DdlEntry, ddl_entries
from support.servers.databases import Database

MORE = """
CREATE TABLE public."Odd one" (id int CONSTRAINT "a ON b" CHECK (id > 0));
COMMENT ON TABLE public."Odd one" IS 'x';
COMMENT ON COLUMN public."Odd one".id IS 'x';
COMMENT ON CONSTRAINT "a ON b" ON public."Odd one" IS 'x';
CREATE CAST (public."Odd one" AS int) WITH INOUT;
COMMENT ON CAST (public."Odd one" AS int) IS 'x';
CREATE PUBLICATION pub FOR TABLE public."Odd one";
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO PUBLIC;
ALTER DEFAULT PRIVILEGES GRANT SELECT ON SEQUENCES TO PUBLIC;
GRANT SELECT ON public."Odd one" TO PUBLIC;
CREATE OPERATOR CLASS public.own FOR TYPE int USING btree AS
  OPERATOR 1 <, FUNCTION 1 btint4cmp(int, int);
COMMENT ON OPERATOR CLASS public.own USING btree IS 'x';
"""


def entries_of(database: Database) -> list[DdlEntry]:
    return list(ddl_entries(database.dump("--schema-only"), "UTF8").values())


def test_the_title_of_a_comment_is_the_head_of_its_statement(sample_database: Database) -> None:
    sample_database.psql(MORE)
    comments = [e for e in entries_of(sample_database) if e.type == "COMMENT"]
    assert len(comments) >= 20
    for entry in comments:
        # Operators, and classes of them, go on with words that the header lacks.
        plain = entry.text.replace('"', "").partition(" IS ")[0]
        assert plain.startswith(entry.title.replace('"', "")), entry.text


def test_titles_of_rights_publications_and_casts_name_each_thing_once(
    sample_database: Database,
) -> None:
    sample_database.psql(MORE)
    titles = {e.title for e in entries_of(sample_database)}
    assert {
        'ACL ON TABLE public."Odd one"',
        "PUBLICATION TABLE pub public.Odd one",
        'CAST (public."Odd one" AS integer)',
        "DEFAULT PRIVILEGES FOR TABLES IN SCHEMA public",
        "DEFAULT PRIVILEGES FOR SEQUENCES",
    } <= titles
