"""Statements of a short script as tokens, and password verifiers masked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgsnap.dump.definitions.statements import MASK, Kind, statements, trimmed, without_verifiers

SECRET = "SCRAM-SHA-256$4096:c2FsdA==$c3RvcmVk:c2VydmVy"
MAKES = f"ALTER ROLE app WITH LOGIN PASSWORD '{SECRET}';\n"

PIECES = st.sampled_from(
    [
        "'",
        "''",
        "E'",
        "\\",
        '"',
        "$$",
        "$a$",
        "--",
        "/*",
        "*/",
        ";",
        "\n",
        " ",
        "PASSWORD",
        "x",
        "é",
    ]
)


@pytest.mark.parametrize(
    "before",
    [
        "COMMENT ON ROLE a IS 'its PASSWORD ''';\n",
        "COMMENT ON ROLE a IS 'its PASSWORD ''x'' is ''';\n",
        "COMMENT ON ROLE a IS E'a backslash \\\\ and \\' PASSWORD \\'';\n",
        "COMMENT ON ROLE a IS 'one backslash \\';\n",
        'CREATE ROLE "it\'s";\n',
        'CREATE ROLE "PASSWORD \'";\n',
        "-- User Config \"it's PASSWORD '\"\n",
        "/* it's /* nested */ PASSWORD ' */\n",
        "ALTER ROLE a SET application_name TO 'PASSWORD ''';\n",
        "SECURITY LABEL FOR x ON ROLE a IS 'PASSWORD ''';\n",
        "DO $$ it's $$;\nDO $a$ PASSWORD ' $$ $a$;\n",
        "SET standard_conforming_strings = off;\nCOMMENT ON ROLE a IS 'it\\'s';\n",
        "\\restrict it's\n",
        'CREATE ROLE b PASSWORD NULL;\nCREATE ROLE "b\'";\n',
    ],
)
def test_a_verifier_is_masked_whatever_the_strings_before_it_hold(before: str) -> None:
    shown = without_verifiers(before + MAKES + before + MAKES)
    expected = before + MAKES.replace(f"'{SECRET}'", MASK)
    assert shown == expected * 2


@pytest.mark.parametrize(
    "constant",
    [
        f"'{SECRET}'",
        f"E'{SECRET}'",
        f"U&'{SECRET}'",
        f"$${SECRET}$$",
        f"$a${SECRET}$$ $a$",
        f"'{SECRET}'\n'{SECRET}'",
        f"/* so */ '{SECRET}'",
        f"-- it's\n'{SECRET}'",
        f"'{SECRET}",
        f"'{SECRET}''",
        f"E'{SECRET}\\",
    ],
)
def test_a_verifier_is_masked_in_every_form_of_a_string(constant: str) -> None:
    assert SECRET not in without_verifiers(f"CREATE ROLE a Encrypted pASSword {constant}")


def test_a_string_that_is_no_password_stays() -> None:
    text = (
        "ALTER ROLE a VALID UNTIL 'infinity';\nALTER ROLE \"PASSWORD\" SET x TO 'PASSWORD ''y';\n"
    )
    assert without_verifiers(text) == text


@given(st.lists(PIECES).map("".join))
def test_statements_are_the_whole_script(text: str) -> None:
    found = list(statements(text))
    assert "".join(token.text for tokens in found for token in tokens) == text
    assert all(tokens[-1] == (Kind.OTHER, ";") for tokens in found[:-1])


@given(st.lists(PIECES).map("".join))
def test_whatever_stands_in_a_quoted_string_shows_no_verifier(text: str) -> None:
    quoted = text.replace("'", "''")
    shown = without_verifiers(f"COMMENT ON ROLE a IS '{quoted}';\n{MAKES}")
    masked = MAKES.replace(f"'{SECRET}'", MASK)
    assert shown == f"COMMENT ON ROLE a IS '{quoted}';\n{masked}"


def test_a_statement_is_trimmed_of_what_is_around_it() -> None:
    script = '-- it\'s\n\n/* ; */ CREATE ROLE a ;\n\n--\nCREATE ROLE "b;"; -- end\n'
    assert [trimmed(tokens) for tokens in statements(script)] == [
        "CREATE ROLE a",
        'CREATE ROLE "b;"',
        "",
    ]
