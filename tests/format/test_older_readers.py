"""What snap 0.1 makes of what later versions write: it refuses it with exit code 13, by the rules
that it has for fields and codes which it does not know, and changes nothing."""

from __future__ import annotations

import pytest

from pgsnap.errors import FormatTooNew
from pgsnap.format import envelope, pack
from pgsnap.format.envelope import HEAD, VERSION, ObjectKind
from pgsnap.format.manifest import decode_manifest
from pgsnap.format.record import RecordReader
from pgsnap.model import Codec
from support.documents import examples

# The fields of a config that version 0.1 knows, and the ciphers.
CONFIG_FIELDS = range(1, 8)
CIPHERS = (0,)
# The codecs that it knows.
CODECS = {0: Codec.RAW, 1: Codec.ZSTD, 2: Codec.ZSTD_DELTA}


def test_the_config_has_a_field_that_it_must_know_and_does_not() -> None:
    payload = examples.payload("config-encrypted")
    new = [row for row in examples.record_fields(payload) if row[0] not in CONFIG_FIELDS]
    assert [(number, can_skip) for number, can_skip, _ in new] == [(9, False), (10, False)]
    with pytest.raises(FormatTooNew) as caught:
        RecordReader(payload, what="the repository's config", known=CONFIG_FIELDS)
    assert caught.value.exit_code == 13
    assert "snap --version" in caught.value.hint


def test_the_config_itself_reads_as_one() -> None:
    """Else it would be damage, which a repair of version 0.1 would mend with a plain config."""
    _, kind, version, cipher = HEAD.unpack_from(examples.stored("config-encrypted"))
    assert (kind, version, cipher in CIPHERS) == (b"C", VERSION, True)


@pytest.mark.parametrize("name", ["sealed-tag", "pack-sealed"])
def test_what_is_sealed_says_a_cipher_that_it_does_not_know(name: str) -> None:
    _, _, _, cipher = HEAD.unpack_from(examples.stored(name))
    assert cipher not in CIPHERS


@pytest.mark.parametrize("name", ["manifest-3", "manifest-leaf-root"])
def test_a_manifest_with_leaf_digests_has_a_version_that_it_does_not_know(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for known in ((1,), (1, 2)):
        heads = tuple(envelope.head(ObjectKind.MANIFEST, version) for version in known)
        monkeypatch.setattr(envelope, "_VERSIONS", {ObjectKind.MANIFEST: known})
        monkeypatch.setitem(envelope._HEADS, ObjectKind.MANIFEST, heads)
        decode_manifest(examples.stored("manifest"))
        with pytest.raises(FormatTooNew) as caught:
            decode_manifest(examples.stored(name))
        assert caught.value.exit_code == 13


def test_a_pack_with_edits_has_a_codec_that_it_does_not_know(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pack, "CODEC_OF", CODECS)
    examples.split_pack(examples.stored("pack"))
    with pytest.raises(FormatTooNew) as caught:
        examples.split_pack(examples.stored("pack-edits"))
    assert caught.value.exit_code == 13
