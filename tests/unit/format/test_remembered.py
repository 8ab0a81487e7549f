"""What was decoded before: the same value, and errors that name their own object."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pgsnap.errors import CorruptionError
from pgsnap.format.by_name.origin import decode_origin
from pgsnap.format.manifest import decode_manifest, encode_manifest
from pgsnap.format.remembered import remembered
from support.documents.values import SNAPSHOT


def test_equal_bytes_are_decoded_once() -> None:
    calls = []

    def decode(data: bytes, what: str) -> str:
        calls.append((data, what))
        return data.decode()

    call = remembered(decode, bytes_max=3, most=2)
    assert [call(b"a", "one"), call(b"a", "two"), call(b"b", "one")] == ["a", "a", "b"]
    assert calls == [(b"a", "one"), (b"b", "one")]
    # Larger than what is kept: decoded each time.
    assert [call(b"long", "one"), call(b"long", "two")] == ["long", "long"]
    assert calls[2:] == [(b"long", "one"), (b"long", "two")]
    # More than are kept.
    assert [call(b"c", "one"), call(b"a", "three")] == ["c", "a"]
    assert calls[4:] == [(b"c", "one"), (b"a", "three")]


def test_what_is_damaged_is_named_each_time() -> None:
    for what in ("snapshot one", "snapshot two"):
        with pytest.raises(CorruptionError) as caught:
            decode_origin(b'{"kind": 5', what)
        assert caught.value.message.startswith(what)


def test_manifests_that_share_their_origin_differ_in_the_rest() -> None:
    other = replace(SNAPSHOT, message="another")
    found = [decode_manifest(encode_manifest(one)) for one in (SNAPSHOT, other, SNAPSHOT)]
    assert found == [SNAPSHOT, other, SNAPSHOT]
    assert found[0].origin is found[1].origin
