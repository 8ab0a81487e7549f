"""PostgreSQL's intervals, as `1 year -2 days 04:05:06.5`, to what they consist of.

Parquet's own type for them has milliseconds, and Arrow's is not written to Parquet."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

INTERVAL = pa.struct([("months", pa.int32()), ("days", pa.int32()), ("microseconds", pa.int64())])
_PART = r"(?:(?P<{0}>[-+]?\d{{1,10}}) {1}s?(?: |$))?"
REGULAR = (
    "^"
    + _PART.format("years", "year")
    + _PART.format("mons", "mon")
    + _PART.format("days", "day")
    + r"(?:(?P<sign>[-+]?)(?P<hours>\d{2,10}):(?P<minutes>\d\d):(?P<seconds>\d\d)"
    + r"(?:\.(?P<fraction>\d{1,6}))?)?$"
)
_SECOND = 1_000_000
_FRACTION_DIGITS = 6


def intervals_of(strings: pa.Array) -> pa.Array:
    """Return the months, days and microseconds of intervals. Raises ValueError for one that is not
    `REGULAR`, or beyond PostgreSQL's range."""
    found = pc.extract_regex(strings, REGULAR)
    is_cut = pc.match_substring_regex(strings, "^$| $")
    if found.null_count != strings.null_count or pc.any(is_cut).as_py():
        raise ValueError("no interval")

    def part(name: str) -> pa.Array:
        text = pc.utf8_ltrim(pc.struct_field(found, name), "+")
        return pc.cast(pc.if_else(pc.equal(text, ""), "0", text), pa.int64())

    months = pc.add(pc.multiply(part("years"), 12), part("mons"))
    digits = pc.utf8_rpad(pc.struct_field(found, "fraction"), _FRACTION_DIGITS, "0")
    sign = pc.if_else(pc.equal(pc.struct_field(found, "sign"), "-"), -1, 1)
    time = pc.multiply(sign, pc.cast(digits, pa.int64()))
    for name, seconds in (("seconds", 1), ("minutes", 60), ("hours", 3600)):
        # With its sign from the beginning: the least number is one more than the greatest.
        signed = pc.multiply(sign, part(name))
        time = pc.add_checked(time, pc.multiply_checked(signed, seconds * _SECOND))
    parts = [pc.cast(months, pa.int32()), pc.cast(part("days"), pa.int32()), time]
    mask = strings.is_null() if strings.null_count else None
    return pa.StructArray.from_arrays(parts, fields=list(INTERVAL), mask=mask)
