"""Roles that definitions name besides the owners."""

from __future__ import annotations

import pytest

from pgsnap.dump.definitions.role_names import named_roles
from support.dumps.texts import entry, pieces

TEXT = (
    entry("TABLE t", "ACL", 'GRANT SELECT ON TABLE public.t TO reader;\nREVOKE ALL ON TABLE'
          ' public."TO x" FROM "Odd ""one""";\nGRANT ALL ON FUNCTION public.f(a text) TO PUBLIC;\n'
          "SET SESSION AUTHORIZATION grantor;\nGRANT SELECT ON TABLE public.t TO further"
          " WITH GRANT OPTION;\nRESET SESSION AUTHORIZATION;\n")
    + entry("DEFAULT PRIVILEGES FOR TABLES", "DEFAULT ACL", "ALTER DEFAULT PRIVILEGES FOR ROLE"
            ' admin IN SCHEMA public REVOKE ALL ON TABLES FROM admin;\nALTER DEFAULT PRIVILEGES FOR'
            ' ROLE admin GRANT SELECT ON TABLES TO "anon";\n')
    + entry("t p", "POLICY", "CREATE POLICY p ON public.t FOR SELECT TO first, \"second\" USING"
            " ((owner = 'TO nobody'::text));\n")
    + entry("USER MAPPING mapped SERVER s", "USER MAPPING", "CREATE USER MAPPING FOR mapped SERVER"
            " s OPTIONS (\n    password 'x TO y'\n);\n")
    + entry("f", "FUNCTION", "CREATE FUNCTION f() AS $$ GRANT x TO not_this $$;\n")
    + entry("c", "COMMENT", "COMMENT ON TABLE t IS 'GRANT x TO not_this';\n")
).encode()  # fmt: skip


@pytest.mark.parametrize("size", [3, 100000])
def test_every_role_of_rights_policies_and_mappings_is_found(size: int) -> None:
    found = named_roles(pieces(TEXT, size), "UTF8")
    assert found == {
        *("reader", 'Odd "one"', "grantor", "further", "admin", "anon"),
        *("first", "second", "mapped"),
    }


def test_without_rights_only_what_stays_is_needed() -> None:
    assert named_roles([TEXT], "UTF8", rights=False) == {"first", "second", "mapped"}
