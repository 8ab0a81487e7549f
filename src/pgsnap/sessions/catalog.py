"""Conditions on PostgreSQL's catalogs, common to dumps and restores."""

from __future__ import annotations

DEFAULT_ACL = (
    "(d.datacl IS NULL OR (d.datacl OPERATOR(pg_catalog.@>) pg_catalog.acldefault('d', d.datdba)"
    " AND d.datacl OPERATOR(pg_catalog.<@) pg_catalog.acldefault('d', d.datdba)))"
)
"""On a row d of pg_database: its privileges are those of a new database, even if a GRANT or REVOKE
made them explicit."""
