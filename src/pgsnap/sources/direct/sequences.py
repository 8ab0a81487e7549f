"""The values of sequences, as pg_dump writes them."""

from __future__ import annotations

from pgsnap.sessions.base import Session, literal
from pgsnap.sources.direct.tables import CONFIGURATION, NOT_LOST, OF_USER, header, in_bytes

# A statement that names all of many thousands would need as many relations open at once.
_AT_A_TIME = 500
_SEQUENCES = f"""
SELECT {in_bytes(header("", "SEQUENCE SET"))},
       {in_bytes("pg_catalog.replace(s.qualified, '''', '''''')")}, s.qualified
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN ({CONFIGURATION}) marked ON marked.oid = c.oid,
LATERAL (SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS qualified) s
WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND {NOT_LOST}
  AND (marked.oid IS NOT NULL OR {OF_USER})
ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"
"""


def sequences_section(session: Session, lock_wait_seconds: float) -> bytes:
    """Return the text of the section of sequences: those of the snapshot of *session*, with their
    present values, which no snapshot covers. Raises QueryFailed, ConnectionFailed."""
    found = session.query(_SEQUENCES)
    wait = literal(f"{max(1, round(lock_wait_seconds * 1000))}ms")
    parts = []
    for first in range(0, len(found), _AT_A_TIME):
        some = found[first : first + _AT_A_TIME]
        asked = " UNION ALL ".join(
            f"SELECT {number}, last_value, is_called FROM {row[2]}"
            for number, row in enumerate(some)
        )
        values = session.query(
            f"SELECT pg_catalog.set_config('lock_timeout', {wait}, true); {asked} ORDER BY 1"
        )
        for (head, name, _), (_, value, called) in zip(some, values, strict=True):
            is_called = b"true" if called == "t" else b"false"
            parts.append(
                b"%bSELECT pg_catalog.setval('%b', %b, %b);\n\n\n"
                % (
                    bytes.fromhex(head or ""),
                    bytes.fromhex(name or ""),
                    (value or "").encode(),
                    is_called,
                )
            )
    return b"".join(parts)
