"""Trial runs of recreating what depends on a replaced table, within the rehearsal's transaction: a
view on a column that the snapshot's table lacks, a key without its index.

Nothing live is changed, and nothing is locked except against being dropped: keys are tried on empty
tables with the same columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pgsnap.dump.definitions.table_parts import (
    TableName,
    TableParts,
    foreign_key_ends,
    quoted,
    with_names,
)
from pgsnap.sessions.base import Session, ident
from pgsnap.targets.naming import new_token
from pgsnap.targets.tables.live import LiveTable
from pgsnap.targets.tables.script import TableScript
from pgsnap.targets.tables.ties import REFERS
from pgsnap.values import dataclass
from pgsnap.workflows.contents.table_names import shown

_LEAVE = "Restore beside it (leave out --replace) and copy the rows over."


@dataclass(frozen=True, slots=True)
class Trial:
    """*sql* fails if *what* cannot be recreated; *hint* is the way out."""

    what: str
    sql: str
    hint: str


def trials(
    session: Session, replaced: Sequence[LiveTable], script: TableScript, *, check_keys: bool
) -> Iterator[Trial]:
    """Yield what the swap will recreate on the tables of *script*. *check_keys*: other tables'
    foreign keys are recreated, too."""
    spare = f"snap_{new_token()}"
    yield Trial("", f"CREATE SCHEMA {ident(spare)};\n", "")
    yield from _of_others(session, replaced, script.names, spare, check_keys=check_keys)
    yield from _own_keys(script.parts, script.names, spare)


def _of_others(
    session: Session,
    replaced: Sequence[LiveTable],
    names: Mapping[TableName, TableName],
    spare: str,
    *,
    check_keys: bool,
) -> Iterator[Trial]:
    if not replaced:
        return
    oids = ", ".join(str(live.oid) for live in replaced)
    rows = session.query(_VIEWS.format(refers=REFERS.format(oid="t.oid"), oids=oids))
    for number, (view, text) in enumerate(rows):
        made = quoted((spare, f"view_{number}"))
        again = with_names(text or "", names)
        yield Trial(
            f"the view {view}",
            f"CREATE VIEW {made} AS {text}\nCREATE OR REPLACE VIEW {made} AS {again}",
            f"Drop the view first (it cannot read the snapshot's table). Or: {_LEAVE}",
        )
    for number, (key, table, text) in enumerate(
        session.query(_KEYS.format(oids=oids)) if check_keys else ()
    ):
        made = quoted((spare, f"refers_{number}"))
        yield Trial(
            f"the foreign key {key} of {table}",
            f"CREATE TABLE {made} (LIKE {table}); ALTER TABLE {made}"
            f" ADD {with_names(text or '', names)};",
            f"Drop the key first. Or: {_LEAVE}",
        )


def _own_keys(
    parts: Sequence[TableParts], names: Mapping[TableName, TableName], spare: str
) -> Iterator[Trial]:
    """Yield the foreign keys of the restored tables."""
    for number, text in enumerate(key for each in parts for key in each.foreign_keys):
        ends = foreign_key_ends(text)
        if not ends:
            continue
        table, other = ends
        made = (spare, f"referred_{number}")
        sql = ""
        if other not in names:
            sql = f"CREATE TABLE {quoted(made)} (LIKE {quoted(other)} INCLUDING INDEXES);\n"
        yield Trial(
            f"a foreign key of {shown(table)} that refers to {shown(other)}",
            sql + with_names(text, {other: made, **names}),
            f"Bring {shown(other)} back with it: --table {shown(other)}. Or: {_LEAVE}",
        )


_VIEWS = """
SELECT DISTINCT v.oid::pg_catalog.regclass::text, pg_catalog.pg_get_viewdef(v.oid)
FROM pg_catalog.pg_class t JOIN pg_catalog.pg_depend d ON {refers}
JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid AND r.ev_type = '1'
JOIN pg_catalog.pg_class v ON v.oid = r.ev_class AND v.relkind = 'v' AND v.relpersistence <> 't'
WHERE t.oid IN ({oids}) AND d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass ORDER BY 1
"""
_KEYS = """
SELECT pg_catalog.quote_ident(conname), conrelid::pg_catalog.regclass::text,
  pg_catalog.pg_get_constraintdef(oid)
FROM pg_catalog.pg_constraint WHERE contype = 'f' AND confrelid IN ({oids})
  AND conrelid NOT IN ({oids}) AND conparentid = 0 ORDER BY 2, 1
"""
