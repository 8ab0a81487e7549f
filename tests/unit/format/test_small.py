"""Tags decoded in one piece, as nearly all of them are: what any tag is decoded to."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pgsnap.errors import SnapError
from pgsnap.format.envelope import HEAD, ObjectKind, checksum, wrap
from pgsnap.format.record import RecordWriter
from pgsnap.format.small import TAG_NAME, decode_tag, encode_tag, usual_tag
from pgsnap.model import Tag

TAG = Tag("app", "v1", bytes(range(32)), datetime(2026, 11, 30, 8, 0, 0, 7, tzinfo=UTC))
RECORD = encode_tag(TAG)[HEAD.size : -16]


def any_tag(data: bytes) -> Tag | None:
    """Return what the decoder of any tag makes of *data*, None if it refuses it."""
    try:
        return decode_tag(data, "it")
    except SnapError:
        return None


@pytest.mark.parametrize(
    ("database", "name"), [("app", "v1"), ("größe", "before-restore/1"), ("a" * 200, "\udcff")]
)
def test_a_tag_reads_back_in_one_piece(database: str, name: str) -> None:
    tag = Tag(database, name, TAG.snapshot, TAG.time)
    assert usual_tag(encode_tag(tag), database, name, "it") == tag


def test_nothing_is_taken_in_one_piece_that_the_decoder_of_any_tag_would_refuse() -> None:
    sound = encode_tag(TAG)
    taken = 0
    for place in range(len(sound)):
        for bit in (1, 128):
            changed = bytearray(sound)
            changed[place] ^= bit
            # As it is, its checksum is wrong.
            assert usual_tag(bytes(changed), "app", "v1", "it") is None
            forged = bytes(changed[:-16]) + checksum(bytes(changed[:-16]))
            try:
                found = usual_tag(forged, "app", "v1", "it")
            except SnapError:
                # A time that is none.
                found = None
            assert found in (None, any_tag(forged))
            taken += found is not None
    # Whoever forges a tag may name any snapshot, and any time that there is.
    assert taken > 60


def test_a_tag_of_another_name_or_form_is_left_to_the_decoder_of_any_tag() -> None:
    sound = encode_tag(TAG)
    later = RecordWriter()
    later.text(9, "more", ignorable=True)
    twice = RecordWriter()
    twice.text(TAG_NAME, "v2")
    for data in (
        wrap(ObjectKind.TAG, RECORD + later.to_bytes()),
        wrap(ObjectKind.TAG, RECORD + twice.to_bytes()),
        wrap(ObjectKind.NOTE, RECORD),
        sound[:-1],
        b"",
    ):
        assert usual_tag(data, "app", "v1", "it") is None
    assert usual_tag(sound, "app", "v2", "it") is None
    assert usual_tag(sound, "other", "v1", "it") is None
    # The bytes of a label and a name may be cut at another place.
    moved = encode_tag(Tag("appv", "1", TAG.snapshot, TAG.time))
    assert usual_tag(moved, "app", "v1", "it") is None
    odd = encode_tag(Tag("app", "v\0", TAG.snapshot, TAG.time))
    assert usual_tag(odd, "app", "v\0", "it") is None
    assert any_tag(odd) is None
