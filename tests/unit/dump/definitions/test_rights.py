"""What the GRANTs and REVOKEs of a dump come to."""

from __future__ import annotations

import pytest

from pgsnap.dump.definitions.ddl import ddl_entries
from pgsnap.dump.definitions.entry_filter import LeftOut, leave_out
from pgsnap.dump.definitions.rights import Right, as_grantors, rights_of, roles_in
from pgsnap.dump.events import text_of
from pgsnap.model import SectionKind, SectionName
from support.dumps.texts import as_events

T = ("public", "t")
OBJECTS = {T: ("INSERT", "SELECT", "UPDATE")}

BY_ANOTHER = """\
REVOKE INSERT ON TABLE public.t FROM bob;
GRANT SELECT,UPDATE ON TABLE public.t TO "mid dle" WITH GRANT OPTION;
SET SESSION AUTHORIZATION "mid dle";
GRANT SELECT ON TABLE public.t TO leaf;
RESET SESSION AUTHORIZATION;
GRANT SELECT(a),UPDATE("b,(") ON TABLE public.t TO PUBLIC;
"""
ENTRY = f"--\n-- Name: TABLE t; Type: ACL; Schema: public; Owner: bob\n--\n\n{BY_ANOTHER}\n\n"


def test_grants_come_to_what_a_server_would_hold() -> None:
    text = BY_ANOTHER
    found = rights_of([text], OBJECTS, "bob")
    assert found == {
        Right(T, "", "bob", "bob", "SELECT", False),
        Right(T, "", "bob", "bob", "UPDATE", False),
        Right(T, "", "mid dle", "bob", "SELECT", True),
        Right(T, "", "mid dle", "bob", "UPDATE", True),
        Right(T, "", "leaf", "mid dle", "SELECT", False),
        Right(T, "a", "", "bob", "SELECT", False),
        Right(T, "b,(", "", "bob", "UPDATE", False),
    }
    assert roles_in([text]) == {"bob", "mid dle", "leaf"}


def test_the_old_way_of_taking_all_first_comes_to_the_same() -> None:
    text = """\
REVOKE ALL ON TABLE public.t FROM PUBLIC;
REVOKE ALL ON TABLE public.t FROM bob;
GRANT ALL ON TABLE public.t TO bob;
GRANT SELECT ON TABLE public.t TO GROUP staff;
"""
    assert rights_of([text], OBJECTS, "bob") == {
        *rights_of([], OBJECTS, "bob"),
        Right(T, "", "staff", "bob", "SELECT", False),
    }


def test_what_is_taken_of_a_table_is_taken_of_its_columns() -> None:
    text = "GRANT SELECT(a) ON TABLE public.t TO x;\nREVOKE ALL ON TABLE public.t FROM x;\n"
    assert rights_of([text], OBJECTS, "bob") == rights_of([], OBJECTS, "bob")


@pytest.mark.parametrize(
    "text",
    [
        "ALTER TABLE public.t OWNER TO eve;",
        "GRANT SELECT ON TABLE public.other TO x;",
        "GRANT SELECT ON TABLE public.t TO x, y;",
        "GRANT SELECT UPDATE ON TABLE public.t TO x;",
        "GRANT SELECT ON TABLE public.t TO x GRANTED BY y;",
        "GRANT SELECT ON TABLE public.t TO x",
        "GRANT SELECT ON TABLE t TO x;",
        "GRANT",
    ],
)
def test_what_pg_dump_does_not_write_is_not_guessed_at(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        rights_of([text], OBJECTS, "bob")


def test_grantors_are_part_of_their_entry_and_become_roles() -> None:
    (entry,) = ddl_entries(ENTRY.encode(), "UTF8").values()
    assert entry.owner == "bob"
    lines = as_grantors(entry.text).splitlines()
    assert lines[2:5] == [
        'SET LOCAL ROLE "mid dle";',
        "GRANT SELECT ON TABLE public.t TO leaf;",
        "RESET ROLE;",
    ]


def test_a_copy_without_rights_has_none_by_other_grantors_either() -> None:
    section = SectionName(SectionKind.POST_DATA)
    text = ENTRY
    behind = (
        "SET SESSION AUTHORIZATION 'bob';\n\n"
        "--\n-- Name: i; Type: INDEX; Schema: public; Owner: bob\n--\n\n"
        "CREATE INDEX i ON public.t USING btree (a);\n"
    )
    events = as_events(section, (text + behind).encode())
    left = b"".join(text_of(leave_out(events, LeftOut(rights=True), "UTF8")))
    assert b"GRANT" not in left
    assert b"RESET" not in left
    assert b"SET SESSION AUTHORIZATION 'bob';" in left
    assert b"CREATE INDEX i" in left
