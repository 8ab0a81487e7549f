"""PostgreSQL's money, as `-$1,234.50` or `1.234,50 €`: its text depends on the server's locale,
which no dump names. The first values say how it is to be read, if that leaves no doubt."""

from __future__ import annotations

import re

import pyarrow as pa
import pyarrow.compute as pc

from pgsnap.values import dataclass

PRECISION = 19
"""Digits of the greatest amount: it has 64 bits."""
USUAL_FRACTION = 2
_NUMBER = r"[0-9]+(?:[^0-9][0-9]+)*"
_AMOUNT = rf"^[^0-9]*{_NUMBER}[^0-9]*$"
_MINUS = r"[-(\x{2212}]"
_ENDS = r"^[^0-9]+|[^0-9]+$"
_GROUP = 3


@dataclass(frozen=True, slots=True)
class Spelling:
    """How amounts are written: with so many digits of *fraction*. *around* is the text before and
    after those that are not negative; None: there was none yet."""

    fraction: int = USUAL_FRACTION
    around: tuple[str, str] | None = None

    @property
    def arrow(self) -> pa.DataType:
        return pa.decimal128(PRECISION, self.fraction)

    @property
    def regular(self) -> str:
        """A pattern of the amounts that are written so."""
        number = _NUMBER
        if self.fraction:
            number = rf"(?:[0-9]+[^0-9])*[0-9]+[^0-9][0-9]{{{self.fraction}}}"
        before, after = ("[^0-9]*", "[^0-9]*")
        if self.around is not None:
            before, after = map(re.escape, self.around)
        any_minus = rf"[^0-9]*{_MINUS}[^0-9]*{number}[^0-9]*|[^0-9]*{number}[^0-9]*{_MINUS}[^0-9]*"
        return f"^(?:{before}{number}{after}|{any_minus})$"

    def amounts(self, strings: pa.Array) -> pa.Array:
        """Return amounts that are `regular` as decimals. Raises ValueError for one that is beyond
        PostgreSQL's range."""
        digits = pc.replace_substring_regex(strings, "[^0-9]", "")
        is_negative = pc.match_substring_regex(strings, _MINUS)
        if self.fraction:
            whole = pc.utf8_slice_codeunits(digits, 0, -self.fraction)
            rest = pc.utf8_slice_codeunits(digits, -self.fraction)
            digits = pc.binary_join_element_wise(whole, rest, ".")
        signs = pc.if_else(is_negative, "-", "")
        return pc.cast(pc.binary_join_element_wise(signs, digits, ""), self.arrow)


def spelling_of(strings: pa.Array) -> Spelling | None:
    """Return how *strings*, the first amounts of a column, are written; None if it is in doubt."""
    there = strings.drop_null()
    if not len(there):
        return Spelling()
    if not pc.all(pc.match_substring_regex(there, _AMOUNT)).as_py():
        return None
    fraction = _fraction(there)
    is_negative = pc.match_substring_regex(there, _MINUS)
    plain = there.filter(pc.invert(is_negative))
    around = pc.unique(pc.replace_substring_regex(plain, _NUMBER, "0")).to_pylist()
    if fraction is None or len(around) > 1:
        # Another sign of negative amounts than those that are known.
        return None
    if not around:
        return Spelling(fraction)
    before, _, after = around[0].partition("0")
    return Spelling(fraction, (before, after))


def _fraction(there: pa.Array) -> int | None:
    """Return how many digits of amounts are a fraction: as many in all of them. Thousands are set
    apart too, so three digits at the end may be either."""
    inner = pc.replace_substring_regex(there, _ENDS, "")
    separators = pc.unique(pc.replace_substring_regex(inner, "[0-9]+", "")).to_pylist()
    if "" in separators:
        return 0
    ends = pc.replace_substring_regex(inner, "^.*[^0-9]", "")
    lengths: list[int] = pc.unique(pc.utf8_length(ends)).to_pylist()
    if len(lengths) != 1:
        return None
    if lengths[0] != _GROUP:
        return lengths[0]
    if pc.any(pc.match_substring_regex(inner, "^0[^0-9]")).as_py():
        return _GROUP
    if any(len(set(one)) > 1 for one in separators):
        return _GROUP
    return 0 if any(len(one) > 1 for one in separators) else None
