"""What besides rows determines the text of a table: its columns, their types, settings.

Output functions use the latest catalogs, not those of the snapshot. While a table is locked its
columns stay as they are, but types may be altered: they are read before and after the rows.
"""

from __future__ import annotations

import hashlib

from pgsnap.model.baseline import SIGNATURE_BYTES
from pgsnap.sessions.base import Session, literal
from pgsnap.sessions.endpoint import PINS
from pgsnap.values import dataclass

_FIRST_USER_OID = 16384
LARGE_OBJECTS_OID = 2613
"""Of pg_largeobject: a catalog whose rows are dumped."""
# Settings that rows or definitions depend on and that no connection of ours sets.
_UNPINNED = ("lc_monetary", "xmloption", "server_encoding", "bytea_output", "client_encoding")

_TABLES = (
    "c.relkind = 'r' AND c.relpersistence <> 't'"
    f" AND (c.oid >= {_FIRST_USER_OID} OR c.oid = {LARGE_OBJECTS_OID})"
)
# What stands in attmissingval is the value that old rows have in a column added since.
_COLUMNS = f"""
SELECT a.attrelid,
       string_agg(concat_ws(' ', a.attnum, a.atttypid, a.atttypmod, a.attisdropped, a.attgenerated,
                            a.atthasmissing, a.attmissingval), E'\\n' ORDER BY a.attnum),
       string_agg(DISTINCT a.atttypid::text, ' ') FILTER (WHERE NOT a.attisdropped)
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
WHERE a.attnum > 0 AND {_TABLES}
GROUP BY a.attrelid
"""
# The types that columns have and all that these are made of.
_TYPES = f"""
WITH RECURSIVE used AS (
    SELECT DISTINCT a.atttypid AS oid FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    WHERE a.attnum > 0 AND NOT a.attisdropped AND {_TABLES}
), edges AS (
    SELECT t.oid AS whole, t.typelem AS part FROM pg_type t WHERE t.typelem <> 0
    UNION ALL SELECT t.oid, t.typbasetype FROM pg_type t WHERE t.typbasetype <> 0
    UNION ALL SELECT t.oid, a.atttypid FROM pg_type t
        JOIN pg_attribute a ON a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
        WHERE t.typtype = 'c'
    UNION ALL SELECT r.rngtypid, r.rngsubtype FROM pg_range r
    UNION ALL SELECT r.rngmultitypid, r.rngtypid FROM pg_range r
), reached (whole, part) AS (
    SELECT u.oid, u.oid FROM used u
    UNION SELECT r.whole, e.part FROM reached r JOIN edges e ON e.whole = r.part
), parts AS (
    SELECT t.oid, concat_ws(' ', t.oid, t.typtype, t.typbasetype, t.typtypmod, t.typelem,
            t.typoutput::oid, t.typdelim, t.typlen,
            (SELECT x.extversion FROM pg_depend d JOIN pg_extension x ON x.oid = d.refobjid
             WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e'
               AND d.refclassid = 'pg_extension'::regclass),
            (SELECT string_agg(concat_ws(' ', a.attnum, a.atttypid, a.atttypmod, a.attisdropped),
                               ',' ORDER BY a.attnum)
             FROM pg_attribute a WHERE a.attrelid = t.typrelid AND a.attnum > 0),
            -- With its place: a label may have been another one only while rows were read.
            (SELECT string_agg(concat_ws(' ', n.oid, n.ctid, n.xmin, n.enumlabel), E'\\n'
                               ORDER BY n.oid)
             FROM pg_enum n WHERE n.enumtypid = t.oid)) AS described,
        t.typtype = 'b' AND (
            t.oid < {_FIRST_USER_OID} AND (t.typname ~ '^reg' OR t.typname = 'aclitem')
            OR t.oid >= {_FIRST_USER_OID} AND t.typoutput::oid >= {_FIRST_USER_OID} AND NOT EXISTS (
                SELECT FROM pg_depend d WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid
                  AND d.deptype = 'e')) AS is_volatile,
        format_type(t.oid, NULL) AS name
    FROM pg_type t
)
SELECT r.whole, string_agg(p.described, E'\\n' ORDER BY p.oid),
       min(p.name) FILTER (WHERE p.is_volatile)
FROM reached r JOIN parts p ON p.oid = r.part
GROUP BY r.whole
"""


@dataclass(frozen=True, slots=True)
class Signature:
    """Of one table's columns, and of their types; *volatile* names a type whose values are shown
    by names of other objects or by code of the user's, "" if there is none."""

    columns: bytes
    types: bytes
    volatile: str = ""


def read_signatures(session: Session) -> dict[int, Signature]:
    """Return that of each table, by OID, as the catalogs are now. Raises QueryFailed,
    ConnectionFailed."""
    types = {
        oid or "": (described or "", volatile or "")
        for oid, described, volatile in session.query(_TYPES)
    }
    found = {}
    for oid, columns, used in session.query(_COLUMNS):
        names = sorted((used or "").split())
        described = [types.get(name, ("", "")) for name in names]
        found[int(oid or 0)] = Signature(
            columns=digest(columns or ""),
            types=digest("\n".join(text for text, _ in described)),
            volatile=next((volatile for _, volatile in described if volatile), ""),
        )
    return found


NO_COLUMNS = Signature(b"\0" * SIGNATURE_BYTES, b"\0" * SIGNATURE_BYTES)
"""Of a table without columns."""


def read_settings(session: Session) -> bytes:
    """Return the signature of the settings that rows and definitions are written by. Raises
    QueryFailed, ConnectionFailed."""
    names = sorted({name for name, _ in PINS} | set(_UNPINNED))
    calls = ", ".join(f"current_setting({literal(name)}, true)" for name in names)
    values = session.query(f"SELECT {calls}")[0]
    return digest("\n".join(f"{name}={value}" for name, value in zip(names, values, strict=True)))


def digest(text: str) -> bytes:
    """Return the signature of *text*."""
    data = text.encode("utf-8", "surrogateescape")
    return hashlib.sha256(data).digest()[:SIGNATURE_BYTES]
