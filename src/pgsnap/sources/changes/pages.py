"""Changed blocks by the WAL position that each page carries: read from files, or by SQL."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping

from pgsnap.errors import QueryFailed
from pgsnap.model.baseline import TableState
from pgsnap.sessions.base import Session, ident, literal, number
from pgsnap.sources.changes.facts import Checkpoint, insert_position, lsn_literal
from pgsnap.sources.changes.files import DataFolder, FilesUnreadable
from pgsnap.sources.changes.verdicts import Changed, Full, Unchanged, Verdict

_PATHS = """
SELECT each.oid, pg_relation_filepath(each.oid) FROM unnest('{{{oids}}}'::oid[]) each (oid)
"""
# A page of zeros may have taken the place of one that was truncated.
_CHANGED = """
SELECT string_agg(each.block::text, ',' ORDER BY each.block)
FROM (
    SELECT g.block,
           ({schema}.page_header({schema}.get_raw_page({name}, 'main', g.block))).lsn AS lsn
    FROM generate_series({first}::bigint, {last}::bigint) g (block)) each
WHERE each.lsn > {base} OR each.lsn = '0/0'::pg_lsn
"""
_BLOCKS_AT_ONCE = 65_536
_HALF_BITS = 32


class PagesUnreadable(Exception):
    """No table's pages can be read; the text says why."""


def detect_by_files(
    session: Session,
    folder: DataFolder,
    system_identifier: str,
    tables: Iterable[TableState],
    *,
    base: int,
    checkpoint: Checkpoint,
) -> Mapping[int, Verdict]:
    """Return for each of *tables*, by OID, what changed since *base*, as of *checkpoint*, which was
    made after what is looked for. Raises PagesUnreadable, QueryFailed, ConnectionFailed."""
    if not folder.is_of(system_identifier, checkpoint):
        raise PagesUnreadable("the data folder that can be read here is not the server's")
    wanted = list(tables)
    rows = session.query(_PATHS.format(oids=",".join(number(table.oid) for table in wanted)))
    paths = {int(oid or 0): path for oid, path in rows}
    twice = insert_position(session) >> _HALF_BITS != base >> _HALF_BITS
    found: dict[int, Verdict] = {}
    for table in wanted:
        path = paths.get(table.oid)
        try:
            if not path:
                raise FilesUnreadable("it has no file any more")
            blocks = folder.changed_blocks(path, table.blocks, base, twice=twice)
        except FilesUnreadable as error:
            found[table.oid] = Full(str(error))
        else:
            found[table.oid] = Changed(blocks, table.blocks) if blocks else Unchanged()
    return found


def detect_by_sql(
    session: Session, schema: str, tables: Iterable[TableState], *, base: int
) -> Mapping[int, Verdict]:
    """Return the same by the functions of pageinspect, which is in *schema*. Raises
    ConnectionFailed."""
    found: dict[int, Verdict] = {}
    fixed = {"schema": ident(schema), "base": lsn_literal(base)}
    for table in tables:
        name = literal(f"{ident(table.schema)}.{ident(table.name)}")
        blocks = array("I")
        try:
            for first in range(0, table.blocks, _BLOCKS_AT_ONCE):
                last = min(table.blocks, first + _BLOCKS_AT_ONCE) - 1
                span = {"first": number(first), "last": number(last)}
                text = session.query(_CHANGED.format(name=name, **fixed, **span))[0][0]
                if text:
                    blocks.extend(map(int, text.split(",")))
        except QueryFailed as error:
            found[table.oid] = Full(f"its pages cannot be read: {error.message}")
        else:
            found[table.oid] = Changed(blocks, table.blocks) if blocks else Unchanged()
    return found
