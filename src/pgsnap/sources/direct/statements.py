"""The statements that read a table's rows, by ranges and by lists of its blocks."""

from __future__ import annotations

import json
from collections.abc import Sequence

from pgsnap.sources.direct.tables import Table

SETTINGS = (
    # As pg_dump sets them.
    ("search_path", ""),
    ("DateStyle", "ISO"),
    ("TimeZone", "UTC"),
    ("row_security", "off"),
    ("synchronize_seqscans", "off"),
    # Rows in the order of their blocks: no parallel scan, and no index that has all columns.
    ("max_parallel_workers_per_gather", "0"),
    ("enable_indexscan", "off"),
    ("enable_indexonlyscan", "off"),
    ("enable_bitmapscan", "off"),
    # A range of blocks is read by itself, whatever the planner's settings of the database.
    ("enable_seqscan", "off"),
    ("enable_tidscan", "on"),
    ("enable_nestloop", "on"),
    ("enable_material", "off"),
    ("enable_memoize", "off"),
)
"""Settings of a reader, besides those of every connection."""
PLANNERS_OWN = tuple(name for name, _ in SETTINGS if name.startswith("enable_"))
"""Those under which pg_dump does not work."""


def rows_of_range(table: Table, first: int, end: int) -> bytes:
    """Return the COPY of the rows in the blocks from *first* to before *end*."""
    return b"COPY (SELECT %b FROM ONLY %b WHERE ctid >= '(%d,0)' AND ctid < '(%d,0)') TO STDOUT" % (
        table.columns,
        table.qualified,
        first,
        end,
    )


def rows_by_condition(table: Table) -> bytes:
    """Return the COPY of the rows of a configuration table, as pg_dump writes it."""
    columns = table.columns or b"*"
    return b"COPY (SELECT %b FROM ONLY %b %b) TO stdout" % (
        columns,
        table.qualified,
        table.condition,
    )


def rows_of_list(table: Table, blocks: Sequence[int]) -> bytes:
    """Return the COPY of the rows in some *blocks*, in their order."""
    return b"COPY (" + list_query(table, blocks) + b") TO STDOUT"


def list_query(table: Table, blocks: Sequence[int]) -> bytes:
    """Return the query of `rows_of_list`."""
    # OFFSET 0 keeps the planner from joining all of it in another order.
    return (
        b"SELECT rows_of.* FROM %b, LATERAL (SELECT %b FROM ONLY %b WHERE %b OFFSET 0) rows_of"
        % (
            _each_of(blocks),
            table.columns,
            table.qualified,
            _IN_BLOCK,
        )
    )


def reads_blocks_alone(plan: str) -> bool:
    """Return whether the *plan* of a `list_query`, as JSON, reads the listed blocks and no others,
    in their order."""
    top = json.loads(plan)[0]["Plan"]
    below = top.get("Plans", ())
    return (
        top["Node Type"] == "Nested Loop"
        and [each["Node Type"] for each in below] == ["Function Scan", "Tid Range Scan"]
        and not any(each["Parallel Aware"] or "Plans" in each for each in below)
    )


def counts_of_range(table: Table, first: int, end: int) -> bytes:
    """Return the COPY of the numbers of rows in each of these blocks."""
    each = b"pg_catalog.generate_series(%d::bigint, %d) snap_each(block)" % (first, end - 1)
    return _counts(table, each)


def counts_of_list(table: Table, blocks: Sequence[int]) -> bytes:
    """Return the COPY of the numbers of rows in each of these *blocks*."""
    return _counts(table, _each_of(blocks))


_IN_BLOCK = (
    b"ctid >= ('(' || snap_each.block || ',0)')::pg_catalog.tid"
    b" AND ctid < ('(' || (snap_each.block + 1) || ',0)')::pg_catalog.tid"
)


def _each_of(blocks: Sequence[int]) -> bytes:
    numbers = ",".join(map(str, blocks)).encode()
    return b"pg_catalog.unnest('{%b}'::bigint[]) snap_each(block)" % numbers


def _counts(table: Table, each: bytes) -> bytes:
    return b"COPY (SELECT (SELECT pg_catalog.count(*) FROM ONLY %b WHERE %b) FROM %b) TO STDOUT" % (
        table.qualified,
        _IN_BLOCK,
        each,
    )
