"""What stands in values (of a snapshot, of a catalog) goes into SQL through a quoting function."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "src" / "pgsnap"
ROOMS = ("sessions", "sources", "targets", "workflows")
STATEMENT = re.compile(
    r"\s*(SELECT|ALTER|CREATE|DROP|GRANT|REVOKE|COMMENT ON|INSERT|DELETE FROM|UPDATE|LOCK TABLE"
    r'|TRUNCATE|REASSIGN|ANALYZE|REINDEX|COPY|REFRESH) [A-Z"\w{(]'
)
# Numbers that the server gave, a name that the server quoted, words of ours, and a message.
HARMLESS = re.compile(r"[\w.]+\.oid|self\._backend|holder\.table|states\[.*\]|self\._name")


def unquoted(source: str) -> Iterator[str]:
    """Yield the fields and items that stand in a statement as they are; names of variables hold
    SQL that was made before."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.JoinedStr) or not isinstance(node.values[0], ast.Constant):
            continue
        if not STATEMENT.match(str(node.values[0].value)):
            continue
        for part in node.values:
            value = getattr(part, "value", None)
            if isinstance(value, ast.Attribute | ast.Subscript):
                yield ast.unparse(value)


def test_the_rule_sees_a_field_that_goes_unquoted_into_a_statement() -> None:
    bad = 'f"ALTER DATABASE {DATABASE} WITH CONNECTION LIMIT {properties.connection_limit}"'
    assert list(unquoted(bad)) == ["properties.connection_limit"]
    assert list(unquoted('f"COMMENT ON ROLE {row[0]} IS NULL"')) == ["row[0]"]
    assert list(unquoted('f"ALTER ROLE {ident(role.name)} RESET ALL"')) == []
    assert list(unquoted('f"the limit is {properties.connection_limit}"')) == []


@pytest.mark.parametrize("room", ROOMS)
def test_no_field_goes_unquoted_into_a_statement(room: str) -> None:
    for path in sorted((PACKAGE / room).rglob("*.py")):
        found = [one for one in unquoted(path.read_text()) if not HARMLESS.fullmatch(one)]
        assert not found, f"{path}: {found}: use ident, literal or number of sessions/base.py"
