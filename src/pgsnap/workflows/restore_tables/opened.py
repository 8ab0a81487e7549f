"""Warns of privileges that a restored table grants and the live one no longer does.

A table comes back with the privileges and the row security of its snapshot. After a REVOKE or new
policies that may expose it, so each difference is shown, for a copy beside the live one too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from pgsnap.dump.definitions.rights import Right
from pgsnap.dump.definitions.table_parts import TableName, TableParts
from pgsnap.model import quote_ident
from pgsnap.sessions.base import Session, literal
from pgsnap.words import some
from pgsnap.workflows.contents.table_names import shown

_ENABLED = "ENABLE ROW LEVEL SECURITY"
_FORCED = "FORCE ROW LEVEL SECURITY"


def opened(
    session: Session, tables: Iterable[TableParts], rights: Sequence[Right]
) -> Iterator[str]:
    """Yield what the snapshot's tables allow and the live tables of the same names do not."""
    for parts in tables:
        security = _row_security(session, parts.table)
        if security is None:
            continue
        owner, is_enabled, is_forced = security
        wanted = {
            r for r in rights if r.name == parts.table and r.grantee not in (owner, r.grantor)
        }
        more = _beyond(wanted, _held(session, parts.table))
        if more:
            yield f"{shown(parts.table)} comes with rights that it does not give now: {some(more)}"
        texts = "\n".join(parts.texts())
        if is_enabled and _ENABLED not in texts:
            yield f"{shown(parts.table)} comes without row security, which is on now"
        elif is_forced and _FORCED not in texts:
            yield f"{shown(parts.table)} comes without row security for its owner, which is on now"


def _beyond(wanted: Iterable[Right], held: set[tuple[str, str, str]]) -> list[str]:
    found: dict[str, list[str]] = defaultdict(list)
    for right in sorted(wanted):
        on_all = (right.grantee, "", right.privilege)
        if on_all not in held and (right.grantee, right.column, right.privilege) not in held:
            part = f" ({quote_ident(right.column)})" if right.column else ""
            found[right.grantee].append(right.privilege + part)
    return [
        f"{', '.join(names)} to {quote_ident(grantee) if grantee else 'PUBLIC'}"
        for grantee, names in sorted(found.items())
    ]


def _of(table: TableName) -> str:
    return (
        " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        f" AND n.nspname = {literal(table[0])} AND c.relname = {literal(table[1])}"
        " AND c.relkind IN ('r', 'p')"
    )


def _row_security(session: Session, table: TableName) -> tuple[str, bool, bool] | None:
    """Return the live table's owner, and whether row security is enabled and forced; None if
    missing."""
    for owner, is_enabled, is_forced in session.query(
        "SELECT pg_catalog.pg_get_userbyid(c.relowner), c.relrowsecurity, c.relforcerowsecurity"
        + _of(table)
    ):
        return owner or "", is_enabled == "t", is_enabled == is_forced == "t"
    return None


def _held(session: Session, table: TableName) -> set[tuple[str, str, str]]:
    """Return the privileges on the live table now, as (grantee, column, privilege)."""
    who = "CASE a.grantee WHEN 0 THEN '' ELSE pg_catalog.pg_get_userbyid(a.grantee)::text END"
    rows = session.query(
        f"SELECT {who}, '', a.privilege_type{_of(table)},"
        " LATERAL pg_catalog.aclexplode(c.relacl) a"
        f" UNION ALL SELECT {who}, t.attname::text, a.privilege_type{_of(table)}"
        " JOIN pg_catalog.pg_attribute t ON t.attrelid = c.oid AND NOT t.attisdropped,"
        " LATERAL pg_catalog.aclexplode(t.attacl) a"
    )
    return {(grantee or "", column or "", privilege or "") for grantee, column, privilege in rows}
