from __future__ import annotations

from pgsnap.targets.checks.roles import creation_order, missing_roles, split_statements

GLOBALS = r'''--
-- PostgreSQL database cluster dump
--

SET client_encoding = 'UTF8';

--
-- Roles
--

CREATE ROLE app;
ALTER ROLE app WITH NOSUPERUSER LOGIN PASSWORD 'SCRAM-SHA-256$4096:a;b''c';
CREATE ROLE "We;ird ""one""";
ALTER ROLE "We;ird ""one""" WITH NOLOGIN;
COMMENT ON ROLE app IS 'a; comment
-- in two lines';
CREATE ROLE postgres;
ALTER ROLE postgres WITH SUPERUSER;

--
-- User Configurations
--

--
-- User Config "app"
--

ALTER ROLE app SET search_path TO 'x', 'y;z';

-- Role memberships
GRANT "We;ird ""one""" TO app WITH INHERIT TRUE GRANTED BY postgres;
GRANT gone TO app GRANTED BY postgres;
'''


def test_statements_are_cut_at_semicolons_outside_of_quotes() -> None:
    statements = split_statements(GLOBALS)
    assert len(statements) == 11
    assert statements[5] == "COMMENT ON ROLE app IS 'a; comment\n-- in two lines'"


def test_a_missing_role_is_made_as_the_globals_say() -> None:
    app, other = missing_roles(
        ["app", 'We;ird "one"', "postgres"], frozenset({"postgres"}), GLOBALS
    )[::-1]
    assert (app.name, other.name) == ("app", 'We;ird "one"')
    order = creation_order([app, other])
    assert order[-1] == 'GRANT "We;ird ""one""" TO app WITH INHERIT TRUE'
    assert any("SET search_path TO 'x', 'y;z'" in text for text in order)
    assert not any("postgres" in text or "gone" in text for text in order)


def test_a_password_verifier_is_used_and_never_shown() -> None:
    (app,) = missing_roles(["app"], frozenset(), GLOBALS)
    assert any("SCRAM-SHA-256$4096:a;b''c'" in text for text in app.statements)
    assert not any("SCRAM" in text for text in app.shown)
    assert "SCRAM" not in repr(app)


def test_a_role_whose_name_looks_like_a_password_shows_no_verifier() -> None:
    text = """CREATE ROLE "x PASSWORD 'y";
ALTER ROLE "x PASSWORD 'y" WITH LOGIN PASSWORD 'SCRAM-SHA-256$4096:abc';
COMMENT ON ROLE "x PASSWORD 'y" IS 'PASSWORD';
"""
    (role,) = missing_roles(["x PASSWORD 'y"], frozenset(), text)
    assert role.is_known
    assert role.shown == tuple(
        statement.replace("'SCRAM-SHA-256$4096:abc'", "'********'") + ";"
        for statement in role.statements
    )


def test_a_role_that_the_globals_do_not_know_may_not_log_in() -> None:
    (role,) = missing_roles(["x y"], frozenset(), "")
    assert role.statements == ('CREATE ROLE "x y" NOLOGIN',)
    assert not role.is_known


def test_roles_that_are_there_are_not_touched() -> None:
    assert missing_roles(["app"], frozenset({"app"}), GLOBALS) == ()
