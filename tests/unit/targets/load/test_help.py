"""What helps after a load failed: said only where its condition was checked."""

from __future__ import annotations

import pytest

from pgsnap.errors import ConnectionFailed
from pgsnap.model import SectionKind, SectionName
from pgsnap.targets.load.help import Facts, help_for
from pgsnap.targets.load.places import Place, Places
from pgsnap.targets.load.psql_messages import Help, PsqlFailure

POST = SectionName(SectionKind.POST_DATA)
DATA = SectionName(SectionKind.DATA, "public", "t")
SUPERUSER = Facts(is_superuser=True, roles=frozenset({"postgres", "bob"}))
ORDINARY = Facts(is_superuser=False, roles=frozenset({"postgres", "bob"}))
NOWHERE = Place()


def told(
    state: str,
    message: str = "",
    place: Place = NOWHERE,
    facts: Facts | None = SUPERUSER,
    context: str = "",
) -> Help:
    failure = PsqlFailure(message, sqlstate=state, context=context)
    return help_for(failure, place, None if facts is None else lambda: facts)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ("42883", "function plus(integer) does not exist"),
        ("42883", "Funktion plus(integer) existiert nicht"),
        ("42P01", 'relation "factors" does not exist'),
        ("42P01", "Relation »factors« existiert nicht"),
        ("42P01", "отношение «factors» не существует"),
        ("42P01", 'リレーション"factors"は存在しません'),
    ],
)
def test_a_name_without_its_schema_points_to_search_path(state: str, message: str) -> None:
    assert "search_path" in told(state, message).hint


def test_what_a_function_alone_does_not_find_points_to_search_path() -> None:
    message = 'text search dictionary "unaccent" does not exist'
    inside = told("42704", message, context='SQL function "plain" during inlining')
    assert "search_path" in inside.hint
    assert "extension" in inside.hint
    # A statement of the dump itself that names a type or a role is no such function.
    assert told("42704", message) == Help()


def test_a_name_with_its_schema_points_to_the_body_of_a_function() -> None:
    message = 'relation "public.counter" does not exist'
    inside = told("42P01", message, context='SQL function "f" during startup')
    assert "names it in its body" in inside.detail
    assert "search_path" not in inside.hint
    # Where no function is at work nothing is known.
    assert told("42P01", message) == Help()
    assert told("42883", "operator does not exist: text + text") == Help()


def test_only_who_is_no_superuser_is_told_to_connect_as_one() -> None:
    assert "superuser" in told("42501", "permission denied", facts=ORDINARY).hint
    assert told("42501", "permission denied") == Help()
    assert told("42501", "permission denied", facts=None) == Help()


def test_a_grantor_who_lost_a_right_is_named_with_the_grant_that_mends_it() -> None:
    place = Place(POST, "ACL", "TABLE t", "Sales", '"Bo b"')
    found = told("42501", "permission denied for schema Sales", place)
    assert 'GRANT USAGE ON SCHEMA "Sales" TO "Bo b";' in found.hint
    assert "lost USAGE" in found.detail
    other = told("42501", "permission denied for table t", place)
    assert "GRANT" not in other.hint
    assert '"Bo b" granted this right' in other.detail


def test_a_role_is_called_missing_only_where_it_can_be_one_and_is() -> None:
    rights = Place(POST, "ACL", "TABLE t", "public")
    assert told("42704", 'role "ann" does not exist', rights).hint == (
        'Make the role first: CREATE ROLE "ann";'
    )
    assert told("42704", "Rolle »bob« existiert nicht", rights) == Help()
    trigger = Place(POST, "TRIGGER", "leaf trg", "cold")
    assert told("42704", 'trigger "trg" for table "leaf" does not exist', trigger) == Help()


def test_values_files_and_labels_are_told_apart_by_their_entry() -> None:
    label = Place(POST, "SECURITY LABEL", "TABLE t", "public")
    assert "provider" in told("22023", "x", label).hint
    table = Place(POST, "TABLE", "t", "public")
    place = 'invalid value for parameter "default_tablespace": "fast"'
    assert "tablespace" in told("22023", place, table).hint
    sequence = Place(POST, "SEQUENCE", "t_a_seq", "public")
    assert "wider type" in told("22023", "MAXVALUE (70000) is out of range", sequence).detail
    assert told("22023", "dimensions", table) == Help()
    extension = Place(POST, "EXTENSION", "postgis")
    assert "extension" in told("0A000", "not available", extension).hint
    assert told("0A000", "cannot do that", table) == Help()
    assert "library" in told("58P01", "$libdir/x", Place(POST, "FUNCTION", "f()", "s")).hint


def test_rows_that_break_a_rule_are_told_apart_by_where_they_do() -> None:
    assert "own row alone" in told("23514", "violates check", Place(DATA)).detail
    assert told("23505", "duplicate", Place(DATA)) == Help()
    key = Place(POST, "FK CONSTRAINT", "t t_fkey", "public")
    assert "own rows break it" in told("23503", "violates foreign key", key).detail


def test_what_cannot_be_asked_is_not_told() -> None:
    def gone() -> Facts:
        raise ConnectionFailed("the server is gone")

    assert help_for(PsqlFailure("no", sqlstate="42501"), NOWHERE, gone) == Help()


def test_a_line_is_of_its_entry_and_of_the_grantor_before_it() -> None:
    places = Places()
    places.begin(POST)
    places.pass_block(
        b"--\n-- Name: TABLE t; Type: ACL; Schema: s; Owner: bob\n--\n\n"
        b'SET SESSION AUTHORIZATION "Bo b";\nGRANT SELECT ON TABLE s.t TO ann;\n'
        b"RESET SESSION AUTHORIZATION;\n"
        b"--\n-- Name: z; Type: EVENT TRIGGER; Schema: -; Owner: bob\n--\n\n"
    )
    assert places.at(6) == Place(POST, "ACL", "TABLE t", "s", '"Bo b"')
    assert str(places.at(6)) == "post-data: ACL TABLE t"
    assert places.at(10) == Place(POST, "EVENT TRIGGER", "z")
    assert str(Places().at(1)) == "the beginning"


@pytest.mark.parametrize(
    "message",
    [
        'new row for relation "t" violates partition constraint',
        "neue Zeile für Relation »t« verletzt Partitions-Constraint",
        "новая строка в отношении «t» нарушает ограничение секции",
    ],
)
def test_a_row_that_another_partition_would_take_points_to_the_partitioned_table(
    message: str,
) -> None:
    assert "--load-via-partition-root" in told("23514", message, Place(DATA)).hint
    by_a_check = 'new row for relation "t" violates check constraint "positive"'
    assert "--load-via-partition-root" not in told("23514", by_a_check, Place(DATA)).hint
