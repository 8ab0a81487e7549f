"""Baselines as docs/format.md says they are stored."""

from __future__ import annotations

import pytest

from pgsnap.errors import CorruptionError
from pgsnap.format import baseline
from support.documents import examples, spec
from support.documents.values import BASELINE

NUMBERS = {
    "system identifier": baseline.SYSTEM_IDENTIFIER,
    "timeline": baseline.TIMELINE,
    "version": baseline.VERSION,
    "database oid": baseline.DATABASE_OID,
    "base": baseline.BASE,
    "boundary": baseline.BOUNDARY,
    "marks": baseline.MARKS,
    "proof": baseline.PROOF,
    "settings": baseline.SETTINGS,
    "fingerprint": baseline.FINGERPRINT,
    "globals fingerprint": baseline.GLOBALS_FINGERPRINT,
    "table": baseline.TABLE,
}


def test_field_numbers_are_those_of_the_specification_and_the_example_has_all() -> None:
    assert {row.name: row.number for row in spec.fields("Baselines")} == NUMBERS
    written = examples.record_fields(baseline.encode_baseline(BASELINE))
    assert {number for number, _, _ in written} == set(NUMBERS.values())


def test_sizes_are_those_of_the_specification() -> None:
    written = examples.record_fields(baseline.encode_baseline(BASELINE))
    values = {number: value for number, _, value in written}
    assert len(values[baseline.MARKS]) == 2 * (8 + 8)
    assert len(values[baseline.PROOF]) == 2 * (8 + 1)
    assert baseline.TABLE_HEAD.size == 3 * 4 + 8 + 2 * 16
    tail = values[baseline.TABLE][baseline.TABLE_HEAD.size :]
    assert tail.split(b"\0") == [b"public", b"", b"it is unlogged"]


@pytest.mark.parametrize("name", ["marks", "proof", "table", "settings", "fingerprint"])
def test_a_value_that_is_cut_is_damage(name: str) -> None:
    record = bytearray()
    for number, _, value in examples.record_fields(baseline.encode_baseline(BASELINE)):
        short = value[:-1] if name != "table" else value[: baseline.TABLE_HEAD.size - 1]
        kept = short if number == NUMBERS[name] else value
        record += number.to_bytes(2, "little") + len(kept).to_bytes(4, "little") + kept
    with pytest.raises(CorruptionError):
        baseline.decode_baseline(bytes(record))
